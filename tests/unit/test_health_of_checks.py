"""Health by checks: the fold of ProviderHealthChecked."""

from __future__ import annotations

from typing import Any

import pytest

from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from projections.live.check import CheckError, CheckHealth

NOW_US = 1_700_000_100_000_000
MINUTE_US = 60_000_000


def check(
    status: HealthStatus = HealthStatus.HEALTHY, at_us: int = NOW_US, **fields: Any
) -> ProviderHealthChecked:
    return ProviderHealthChecked(
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        occurred_at=at_us,
        source="test",
        tenant="",
        provider="openai",
        status=status,
        **fields,
    )


def after(*checks: ProviderHealthChecked) -> CheckHealth:
    health = CheckHealth.initial("openai")
    for event in checks:
        health = health.plus(event)
    return health


def test_the_last_check_gives_the_status() -> None:
    """With the instant since when it has been so."""
    health = after(
        check(HealthStatus.HEALTHY, NOW_US),
        check(HealthStatus.UNHEALTHY, NOW_US + MINUTE_US),
        check(HealthStatus.UNHEALTHY, NOW_US + 2 * MINUTE_US),
    )
    assert (health.status, health.since_us) == (HealthStatus.UNHEALTHY, NOW_US + MINUTE_US)
    assert health.checked_us == NOW_US + 2 * MINUTE_US


def test_a_degraded_subject_is_up() -> None:
    """It answers."""
    health = after(check(HealthStatus.DEGRADED), check(HealthStatus.UNHEALTHY), check(), check())
    assert (health.uptime, health.uptime_of_day(NOW_US)) == (0.75, 0.75)


def test_a_check_without_a_verdict_counts_for_nothing() -> None:
    """The prober could not tell: noted, but neither up nor down, nor the end of a row of failures."""
    health = after(check(HealthStatus.UNHEALTHY), check(HealthStatus.UNKNOWN))
    assert health.status is HealthStatus.UNKNOWN
    assert (health.verdicts, health.consecutive_failures, health.uptime) == (1, 1, 0.0)


def test_without_a_verdict_there_is_no_uptime() -> None:
    """None, not 0."""
    assert (after().uptime, after().uptime_of_day(NOW_US)) == (None, None)


def test_the_uptime_of_the_day_forgets_what_is_older_than_24_hours() -> None:
    """The uptime of all time does not."""
    health = after(check(HealthStatus.UNHEALTHY, NOW_US - 25 * 60 * MINUTE_US), check())
    assert (health.uptime, health.uptime_of_day(NOW_US)) == (0.5, 1.0)
    assert health.uptime_of_day(NOW_US + 25 * 60 * MINUTE_US) is None


def test_unhealthy_checks_in_a_row_are_counted() -> None:
    """Until one is up."""
    down = after(check(), check(HealthStatus.UNHEALTHY), check(HealthStatus.UNHEALTHY))
    assert down.consecutive_failures == 2
    assert down.plus(check(HealthStatus.DEGRADED)).consecutive_failures == 0


def test_the_last_error_stays_after_recovery() -> None:
    """So that a reader sees what it was."""
    health = after(check(HealthStatus.UNHEALTHY, error="boom", status_code=503), check())
    assert health.last_error == CheckError(NOW_US, "boom", 503)


@pytest.mark.parametrize(
    "unanswered", [{"latency_ms": None}, {"status": HealthStatus.UNHEALTHY, "latency_ms": 9e6}]
)
def test_only_an_answered_check_tells_a_latency(unanswered: dict[str, Any]) -> None:
    """The time until a timeout is not a latency."""
    health = after(check(latency_ms=1.5), check(latency_ms=2.5))
    assert health.latency_us == 1_600
    assert health.plus(check(**unanswered)).latency_us == 1_600


def test_check_health_is_the_same_after_a_round_trip() -> None:
    """Before any check, too."""
    for health in (after(), after(check(latency_ms=3.25), check(HealthStatus.UNHEALTHY, error="x"))):
        assert CheckHealth.from_json(health.to_json()) == health
