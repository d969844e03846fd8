"""ProviderSettings: which policy a deployment's breaker follows."""

from __future__ import annotations

from events.provider_changed import BreakerPolicy, ProviderChange, WindowKind
from projections.live.breaker import initial as initial_breaker
from projections.live.provider import PolicyInForce, ProviderSettings, evolve, initial
from tests.breaker_story import DEPLOYMENT, MODEL, PROVIDER, START_S
from tests.unit.test_breaker_gates import changed

OWN = BreakerPolicy(window=WindowKind.COUNT, half_open_concurrent=2, gate_cap_s=60)
SHARED = BreakerPolicy(minimum_calls=3)


def test_a_deployment_follows_its_own_policy_first() -> None:
    """Then the provider's, then the defaults, which have version 0."""
    settings = evolve(initial(PROVIDER), changed(4, START_S, deployment_policies={DEPLOYMENT: OWN}))
    assert settings.policy_for(DEPLOYMENT) == PolicyInForce(OWN, 4)
    assert settings.policy_for("openai/other") == PolicyInForce(BreakerPolicy(), 0)
    settings = evolve(settings, changed(5, START_S, breaker_policy=SHARED))
    assert settings.policy_for(DEPLOYMENT) == PolicyInForce(SHARED, 5)


def test_the_last_change_in_the_log_wins() -> None:
    """Its version is above all before it, whatever a racing writer believed."""
    settings = evolve(initial(PROVIDER), changed(4, START_S, priority=1))
    settings = evolve(settings, changed(4, START_S, priority=2))
    assert (settings.version, settings.priority) == (5, 2)


def test_a_removed_provider_is_not_enabled() -> None:
    """It stays known, with its version, for those who ask later."""
    settings = evolve(initial(PROVIDER), changed(1, START_S, change=ProviderChange.REMOVED))
    assert not settings.enabled
    assert settings.change is ProviderChange.REMOVED


def test_a_breaker_takes_over_what_a_router_needs() -> None:
    """So that a router reads one state: the cap of rate gates and the probes under way at once."""
    settings = evolve(initial(PROVIDER), changed(1, START_S, deployment_policies={DEPLOYMENT: OWN}))
    breaker = initial_breaker(PROVIDER, MODEL, settings=settings)
    assert (breaker.gate_cap_s, breaker.half_open_concurrent) == (60, 2)


def test_settings_survive_their_bytes() -> None:
    """Policies included."""
    settings = evolve(
        initial(PROVIDER),
        changed(
            1,
            START_S,
            models=("b", "a"),
            regions=("eu",),
            breaker_policy=SHARED,
            deployment_policies={DEPLOYMENT: OWN},
            attributes={"x": "y"},
        ),
    )
    assert ProviderSettings.from_json(settings.to_json()) == settings
