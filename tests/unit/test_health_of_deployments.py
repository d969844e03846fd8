"""Health of a deployment: the fold of its outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from events.envelope import MAX_LONG, OutcomeKind
from events.outcomes_observed import OutcomeRun, OutcomesObserved
from projections.live.ewma import moved
from projections.live.health import DeploymentHealth, LastError, Outcomes

NOW_S = 1_700_000_000


def run(
    kind: OutcomeKind = OutcomeKind.SUCCESS, count: int = 1, second: int = NOW_S, **fields: Any
) -> OutcomeRun:
    return OutcomeRun(kind=kind, count=count, second=second, **fields)


def observed(*runs: OutcomeRun, at_s: int = NOW_S) -> OutcomesObserved:
    return OutcomesObserved(
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        occurred_at=at_s * 1_000_000,
        source="test",
        tenant="",
        provider="openai",
        model="gpt-4o",
        region="eu",
        source_topic="usage",
        source_partition=0,
        source_start=0,
        source_end=1,
        runs=runs,
    )


def after(*runs: OutcomeRun, at_s: int = NOW_S) -> DeploymentHealth:
    event = observed(*runs, at_s=at_s)
    return DeploymentHealth.initial(event).plus(event)


def test_a_deployment_is_named_by_its_first_event() -> None:
    """Provider, model and region."""
    assert after().deployment == "openai/gpt-4o@eu"


def test_calls_are_counted_by_kind_for_ever() -> None:
    """Totals do not forget."""
    health = after(run(count=3), run(OutcomeKind.TIMEOUT), run(count=2, second=NOW_S - 100_000))
    assert health.totals == {"SUCCESS": 5, "TIMEOUT": 1}


@pytest.mark.parametrize("length_s, successes", [(60, 2), (300, 3), (3600, 4)])
def test_windows_look_back_a_minute_five_and_an_hour(length_s: int, successes: int) -> None:
    """Calls 5 s, 55 s, 4 min and 50 min ago, and one of yesterday."""
    ages = (5, 55, 240, 3000, 86_400)
    health = after(*(run(second=NOW_S + 9 - age) for age in ages), at_s=NOW_S + 9)
    assert health.window(length_s, NOW_S + 9).successes == successes


def test_a_window_empties_as_time_passes_without_calls() -> None:
    """It looks back from now, not from the last call."""
    health = after(run())
    assert health.window(60, NOW_S).calls == 1
    assert health.window(60, NOW_S + 120).calls == 0


def test_the_success_rate_leaves_out_what_is_not_the_providers_doing() -> None:
    """A bad request is neither a success nor a failure."""
    window = after(run(count=3), run(OutcomeKind.TIMEOUT), run(OutcomeKind.BAD_REQUEST, 10)).window(60, NOW_S)
    assert (window.calls, window.success_rate) == (14, 0.75)


def test_without_calls_there_is_no_rate_and_no_latency() -> None:
    """None, not 0 and not 1."""
    nothing = Outcomes(0, 0, 0, 0)
    assert (nothing.success_rate, nothing.mean_latency_ms) == (None, None)


def test_only_successes_tell_a_latency() -> None:
    """A refusal is quick and a timeout is slow; neither says how fast the provider answers."""
    health = after(run(count=2, latency_ms_sum=300), run(OutcomeKind.TIMEOUT, latency_ms_sum=60_000))
    assert health.latency_us == 150_000
    assert health.window(60, NOW_S).mean_latency_ms == 150


def test_the_average_latency_moves_by_a_tenth_for_each_call() -> None:
    """In whole microseconds, rounded down."""
    assert moved(None, 1_000_000, 3) == 333_333
    assert moved(100_000, 200_000, 1) == 110_000
    assert moved(100_000, 0, 1) == 90_000
    assert moved(100_000, 99_999, 1) == 99_999
    assert moved(100_000, 2_000_000, 10) == 100_000 + 1_000_000 // 19


def test_failures_in_a_row_end_with_a_success_only() -> None:
    """What is not counted neither adds nor ends."""
    failed = after(
        run(), run(OutcomeKind.TIMEOUT, 2), run(OutcomeKind.CANCELLED, 5), run(OutcomeKind.SERVER_ERROR)
    )
    assert failed.consecutive_failures == 3
    assert failed.plus(observed(run())).consecutive_failures == 0


def test_the_last_error_is_the_last_that_the_provider_gave() -> None:
    """A rate limit is one; the caller's own bad request is not."""
    health = after(
        run(OutcomeKind.TIMEOUT, last_error="slow"),
        run(OutcomeKind.RATE_LIMITED, second=NOW_S - 1, last_error="429"),
        run(OutcomeKind.BAD_REQUEST, last_error="400"),
        run(),
    )
    assert health.last_error == LastError(OutcomeKind.RATE_LIMITED, NOW_S - 1, "429")
    assert health.last_success_s == NOW_S


def test_a_clock_that_runs_ahead_does_not_empty_the_windows() -> None:
    """A second after the event itself counts as the event's: the figures of honest gateways stay."""
    health = after(run(count=3)).plus(observed(run(second=NOW_S + 86_400)))
    assert health.newest_s == NOW_S
    assert health.window(60, NOW_S).successes == 4


def test_late_calls_within_the_window_count_and_older_ones_do_not() -> None:
    """Late by 4 minutes: in. Late by an hour: out of every window, in the totals."""
    health = after(run()).plus(observed(run(second=NOW_S - 240), run(second=NOW_S - 4000)))
    assert health.window(3600, NOW_S).successes == 2
    assert health.totals == {"SUCCESS": 3}


def test_buckets_are_bounded() -> None:
    """Thirty of 10 s and sixty of a minute, however long calls keep coming."""
    health = after(*(run(second=NOW_S - age) for age in range(0, 10_000, 5)))
    assert (len(health.fine), len(health.coarse)) == (30, 60)


def test_health_is_the_same_after_a_round_trip() -> None:
    """Also with sums beyond 64 bits, and before any call."""
    huge = after(
        run(count=MAX_LONG, latency_ms_sum=MAX_LONG), run(count=MAX_LONG), run(OutcomeKind.BILLING, MAX_LONG)
    )
    for health in (after(), after(run(), run(OutcomeKind.TIMEOUT)), huge):
        assert DeploymentHealth.from_json(health.to_json()) == health
        assert DeploymentHealth.from_json(health.to_json()).to_json() == health.to_json()
