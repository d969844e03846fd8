"""What readers are shown: the worst evidence, with its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from events.breaker_transitioned import BreakerState
from events.provider_health_checked import HealthStatus
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth, Outcomes
from projections.live.health_view import DeploymentView, deployment_view, provider_view

NOW_S = 1_700_000_000
NOW_US = NOW_S * 1_000_000
HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.UNHEALTHY,
    HealthStatus.UNKNOWN,
)


def calls(successes: int, failures: int) -> DeploymentHealth:
    bucket = (NOW_S // 10, successes, failures, 0, 0)
    return DeploymentHealth(provider="openai", model="gpt-4o", newest_s=NOW_S, fine=(bucket,))


def check(status: HealthStatus, age_s: int = 0) -> CheckHealth:
    return replace(CheckHealth.initial("openai/gpt-4o"), status=status, checked_us=NOW_US - age_s * 1_000_000)


def view(
    breaker_state: BreakerState | None = None,
    of_calls: DeploymentHealth | None = None,
    of_check: CheckHealth | None = None,
) -> DeploymentView:
    return deployment_view(
        "openai/gpt-4o", calls=of_calls, check=of_check, breaker_state=breaker_state, now_us=NOW_US
    )


def test_without_evidence_health_is_unknown() -> None:
    """A closed breaker is closed before the first call, so it proves nothing."""
    assert view().status is UNKNOWN
    assert view(BreakerState.CLOSED, calls(9, 0)).status is UNKNOWN


@pytest.mark.parametrize(
    "successes, failures, status",
    [(10, 0, HEALTHY), (95, 5, HEALTHY), (94, 6, DEGRADED), (5, 5, DEGRADED), (4, 6, UNHEALTHY)],
)
def test_the_success_rate_of_five_minutes_gives_a_verdict(
    successes: int, failures: int, status: HealthStatus
) -> None:
    """Below 95% degraded, below 50% unhealthy."""
    assert view(of_calls=calls(successes, failures)).status is status


@pytest.mark.parametrize(
    "state, status",
    [
        (BreakerState.OPEN, UNHEALTHY),
        (BreakerState.FORCED_OPEN, UNHEALTHY),
        (BreakerState.HALF_OPEN, DEGRADED),
        (BreakerState.METRICS_ONLY, HEALTHY),
    ],
)
def test_a_breaker_that_holds_calls_back_outweighs_good_calls(
    state: BreakerState, status: HealthStatus
) -> None:
    """The worst evidence counts, and says so."""
    shown = view(state, calls(100, 0), check(HEALTHY))
    assert shown.status is status
    assert shown.status is HEALTHY or shown.reasons == (f"breaker is {state}",)


def test_all_reasons_for_the_verdict_are_given() -> None:
    """And none of those that speak against it."""
    shown = view(BreakerState.OPEN, calls(1, 9), check(HEALTHY))
    assert shown.reasons == ("breaker is OPEN", "1 of 10 calls succeeded in 5m")


def test_an_old_check_is_no_evidence() -> None:
    """After a quarter of an hour it says nothing of now."""
    assert view(of_check=check(UNHEALTHY, age_s=900)).status is UNHEALTHY
    assert view(of_check=check(UNHEALTHY, age_s=901)).status is UNKNOWN


@pytest.mark.parametrize(
    "statuses, rolled_up",
    [
        ([], UNKNOWN),
        ([UNKNOWN], UNKNOWN),
        ([HEALTHY, UNKNOWN], HEALTHY),
        ([HEALTHY, UNHEALTHY], DEGRADED),
        ([HEALTHY, DEGRADED], DEGRADED),
        ([UNHEALTHY, UNHEALTHY], UNHEALTHY),
    ],
)
def test_a_provider_is_as_healthy_as_its_deployments_together(
    statuses: list[HealthStatus], rolled_up: HealthStatus
) -> None:
    """Unhealthy when all are, degraded when any is not healthy; unknown ones do not count."""
    views = [replace(view(), status=status) for status in statuses]
    assert provider_view("openai", views, check=None, now_us=NOW_US).status is rolled_up


def test_a_check_of_the_provider_itself_counts() -> None:
    """It may know better than its deployments' calls."""
    shown = provider_view("openai", [view(of_calls=calls(99, 0))], check=check(UNHEALTHY), now_us=NOW_US)
    assert shown.status is UNHEALTHY


def test_a_providers_windows_are_the_sums_of_its_deployments() -> None:
    """So its success rate weighs each call alike."""
    shown = provider_view(
        "openai", [view(of_calls=calls(9, 1)), view(of_calls=calls(0, 10))], check=None, now_us=NOW_US
    )
    assert shown.windows["5m"] == Outcomes(9, 11, 0, 0)
    assert shown.windows["5m"].success_rate == 0.45
