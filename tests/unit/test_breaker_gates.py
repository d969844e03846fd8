"""Gates: 429 and refused credentials close a deployment without touching its breaker."""

from __future__ import annotations

import pytest

from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from events.ids import derived_id
from events.provider_changed import BreakerPolicy, ProviderChanged
from projections.live import provider as provider_settings
from projections.live.breaker import Breaker, adopt, initial
from projections.live.gates import credential_gate_since_us, rate_gate_until_us
from tests.breaker_story import DEPLOYMENT, DOWN, MODEL, OK, PROVIDER, SECOND_US, START_S, Story

LIMITED = OutcomeKind.RATE_LIMITED


def changed(version: int, at_s: int, **fields: object) -> ProviderChanged:
    """Settings of the story's provider."""
    return ProviderChanged(
        event_id=derived_id("provider", version),
        occurred_at=at_s * SECOND_US,
        source="story",
        tenant="",
        provider=PROVIDER,
        version=version,
        actor="ann",
        **fields,  # type: ignore[arg-type]
    )


def until_s(breaker: Breaker) -> int:
    """The rate gate, in seconds after the story's start."""
    return rate_gate_until_us(breaker) // SECOND_US - START_S


def test_a_429_sets_the_rate_gate_and_moves_no_breaker() -> None:
    """Not even a thousand of them."""
    story = Story()
    assert story.outcomes(story.run(1000, LIMITED, gate_s=20)) == []
    assert until_s(story.breaker) == 20
    assert story.state is BreakerState.CLOSED


def test_the_later_of_two_rate_gates_holds() -> None:
    """max(current, asked)."""
    story = Story()
    story.outcomes(story.run(1, LIMITED, gate_s=20))
    story.wait(1)
    story.outcomes(story.run(1, LIMITED, gate_s=5))
    assert until_s(story.breaker) == 20
    story.outcomes(story.run(1, LIMITED, gate_s=50))
    assert until_s(story.breaker) == 51


def test_a_rate_gate_is_capped() -> None:
    """Five minutes after the 429, unless the policy says otherwise."""
    story = Story()
    story.outcomes(story.run(1, LIMITED, gate_s=86_400))
    assert until_s(story.breaker) == 300
    strict = provider_settings.evolve(
        provider_settings.initial(PROVIDER), changed(1, START_S, breaker_policy=BreakerPolicy(gate_cap_s=10))
    )
    assert until_s(adopt(story.breaker, strict)) == 10


def test_a_short_gate_does_not_bring_back_a_capped_one() -> None:
    """The provider asked for a day, we waited our five minutes; then it asks for a second."""
    story = Story()
    story.outcomes(story.run(1, LIMITED, gate_s=86_400))
    story.wait(400)
    story.outcomes(story.run(1, LIMITED, gate_s=1))
    assert until_s(story.breaker) == 401


def test_a_429_that_asks_for_nothing_sets_no_gate() -> None:
    """Nor does one whose wait is over already."""
    story = Story()
    story.outcomes(story.run(3, LIMITED), story.run(3, LIMITED, gate_s=0))
    assert rate_gate_until_us(story.breaker) == 0


def test_what_is_remembered_of_rate_gates_is_bounded() -> None:
    """Ever shorter asks are all kept, up to eight."""
    story = Story()
    for seconds in range(100, 50, -2):
        story.outcomes(story.run(1, LIMITED, gate_s=seconds))
    assert len(story.breaker.rate_asks) == 8


@pytest.mark.parametrize("kind", [OutcomeKind.UNAUTHORIZED, OutcomeKind.BILLING])
def test_a_refused_credential_sets_its_gate(kind: OutcomeKind) -> None:
    """Since the first refusal, until something is known to have changed."""
    story = Story()
    assert story.calls(50, kind) == []
    story.wait(5)
    story.calls(1, kind)
    assert credential_gate_since_us(story.breaker) == START_S * SECOND_US
    assert story.breaker.refused_kind is kind
    assert story.state is BreakerState.CLOSED


def test_a_later_success_clears_the_credential_gate() -> None:
    """In the log's order; a failure does not."""
    story = Story()
    story.calls(1, OutcomeKind.UNAUTHORIZED)
    story.calls(1, DOWN)
    assert credential_gate_since_us(story.breaker) is not None
    story.calls(1, OK)
    assert credential_gate_since_us(story.breaker) is None


def test_a_later_change_of_the_provider_clears_the_credential_gate() -> None:
    """A new credential comes with it; an older change clears nothing, and a new refusal counts from anew."""
    story = Story()
    story.wait(10)
    story.calls(1, OutcomeKind.UNAUTHORIZED)
    nothing = provider_settings.initial(PROVIDER)
    older = adopt(story.breaker, provider_settings.evolve(nothing, changed(1, START_S + 9)))
    assert credential_gate_since_us(older) is not None
    story.breaker = adopt(story.breaker, provider_settings.evolve(nothing, changed(1, START_S + 11)))
    assert credential_gate_since_us(story.breaker) is None
    story.wait(10)
    story.calls(1, OutcomeKind.UNAUTHORIZED)
    assert credential_gate_since_us(story.breaker) == (START_S + 20) * SECOND_US


def test_gates_do_not_depend_on_how_topics_interleaved() -> None:
    """The provider's change is read before, between or after the outcomes: the breaker is the same."""
    settings = provider_settings.evolve(
        provider_settings.initial(PROVIDER),
        changed(1, START_S + 5, deployment_policies={DEPLOYMENT: BreakerPolicy(gate_cap_s=7)}),
    )
    ends = set()
    for read_at in range(4):
        story = Story(
            breaker=initial(PROVIDER, MODEL, settings=settings) if read_at == 0 else initial(PROVIDER, MODEL)
        )
        for step in (1, 2, 3):
            story.outcomes(
                story.run(1, OutcomeKind.UNAUTHORIZED), story.run(1, LIMITED, gate_s=60), story.run(1, DOWN)
            )
            story.wait(4)
            if read_at == step:
                story.breaker = adopt(story.breaker, settings)
        ends.add(story.breaker.to_json())
        assert until_s(story.breaker) == 8 + 7
    assert len(ends) == 1


def test_outcomes_of_stale_epochs_set_gates_too() -> None:
    """A gate is a fact of the provider, not of the breaker."""
    story = Story()
    story.trip()
    story.outcomes(story.run(1, LIMITED, epoch=0, gate_s=20))
    assert until_s(story.breaker) == 20
