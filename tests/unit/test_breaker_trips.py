"""When a closed breaker opens, and when it does not."""

from __future__ import annotations

import pytest

from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import FAILURES, OutcomeKind
from events.provider_changed import BreakerPolicy, WindowKind
from processors.breaker.decide import decide
from projections.live.counting import figures
from tests.breaker_story import DOWN, OK, START_S, Story, observed

NEVER = 1_000_000


def test_five_failures_in_a_row_open_it() -> None:
    """The default limit; the event says rule, figures and the call at which it fired."""
    story = Story()
    assert story.calls(4, DOWN) == []
    (event,) = story.calls(3, DOWN)
    assert (event.from_state, event.to_state) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert event.cause is TransitionCause.CONSECUTIVE_FAILURES
    assert (event.calls, event.failures, event.consecutive_failures) == (5, 5, 5)
    assert (event.outcomes_offset, event.run_index, event.run_calls) == (1, 0, 1)
    assert event.reason == "5 failures in a row (limit 5)"
    assert story.state is BreakerState.OPEN


@pytest.mark.parametrize("kind", sorted(FAILURES))
def test_each_fault_of_the_provider_is_a_failure(kind: OutcomeKind) -> None:
    """Connect and TLS errors, timeouts, 5xx, 529 and a stream cut midway."""
    story = Story()
    assert len(story.calls(5, kind)) == 1


@pytest.mark.parametrize("kind", sorted(set(OutcomeKind) - FAILURES - {OK}))
def test_other_outcomes_neither_count_nor_reset(kind: OutcomeKind) -> None:
    """A bad request between failures breaks no streak and is no call of the window."""
    story = Story()
    assert story.outcomes(story.run(4, DOWN), story.run(50, kind)) == []
    assert figures(story.window, story.policy).calls == 4
    (event,) = story.calls(1, DOWN)
    assert event.consecutive_failures == 5


def test_a_success_ends_a_streak_of_failures() -> None:
    """Consecutive means in the order of the log."""
    story = Story(BreakerPolicy(minimum_calls=100))
    for _ in range(5):
        assert story.outcomes(story.run(4, DOWN), story.run(1)) == []


def test_no_rate_below_the_minimum_of_calls() -> None:
    """Nine calls, most of them failed, say nothing yet; the tenth does."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    assert story.calls(9, DOWN) == []
    (event,) = story.calls(1, DOWN)
    assert event.cause is TransitionCause.FAILURE_RATE


def test_the_rate_is_looked_at_after_a_success_too() -> None:
    """The tenth call succeeds and makes five of ten failed."""
    story = Story()
    assert story.outcomes(story.run(3, DOWN), story.run(4), story.run(2, DOWN)) == []
    (event,) = story.outcomes(story.run(1))
    assert event.cause is TransitionCause.FAILURE_RATE
    assert (event.calls, event.failures) == (10, 5)


def test_a_rate_trips_when_just_reached() -> None:
    """Seven of ten reach 0.7, which a product of floats would miss."""
    story = Story(BreakerPolicy(failure_rate=0.7, consecutive_failures=NEVER))
    assert story.outcomes(story.run(3), story.run(6, DOWN)) == []
    (event,) = story.outcomes(story.run(1, DOWN))
    assert (event.calls, event.failures) == (10, 7)


def test_slow_calls_open_it() -> None:
    """All of ten calls took longer than a minute."""
    story = Story()
    assert story.calls(9, latency_ms=60_001) == []
    (event,) = story.calls(1, latency_ms=60_001)
    assert event.cause is TransitionCause.SLOW_RATE
    assert event.slow_calls == 10


def test_a_call_of_just_the_limit_is_not_slow() -> None:
    """Slow is longer than `slow_call_s`."""
    story = Story()
    assert story.calls(50, latency_ms=60_000) == []


def test_failures_may_be_slow_calls_too() -> None:
    """Half of the calls time out after a minute: the slow rate sees them."""
    story = Story(BreakerPolicy(slow_rate=0.5, failure_rate=1.0, consecutive_failures=NEVER))
    (event,) = story.outcomes(story.run(5), story.run(5, OutcomeKind.TIMEOUT, latency_ms=70_000))
    assert event.cause is TransitionCause.SLOW_RATE


def test_within_a_run_the_slow_calls_are_its_last() -> None:
    """Of six calls two were slow: the rule fires at the first slow one, the fifth, that makes one of five."""
    story = Story(BreakerPolicy(slow_rate=0.2, minimum_calls=1))
    mixed = story.run(6)
    mixed = type(mixed)(
        kind=OK, count=6, second=mixed.second, latency_buckets=(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0)
    )
    (event,) = story.outcomes(mixed)
    assert event.run_calls == 5


def test_the_first_rule_of_several_names_the_cause() -> None:
    """Ten slow failures: the streak goes before the rates."""
    story = Story(BreakerPolicy(consecutive_failures=10))
    (event,) = story.calls(10, DOWN, latency_ms=70_000)
    assert event.cause is TransitionCause.CONSECUTIVE_FAILURES


def test_failures_leave_the_time_window() -> None:
    """Failures of a minute ago are forgotten when newer calls come."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    story.calls(9, DOWN)
    story.wait(60)
    assert story.calls(9) == []
    assert figures(story.window, story.policy).failures == 0


def test_the_last_second_of_the_window_still_counts() -> None:
    """A window of 60 s has 60 one-second buckets, the newest included."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    story.calls(9, DOWN)
    story.wait(59)
    (event,) = story.calls(1)
    assert (event.calls, event.failures) == (10, 9)


def test_seconds_out_of_order_within_the_window_are_counted() -> None:
    """Gateways report late; a call of 30 s ago belongs to the window."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    story.calls(5)
    (event,) = story.outcomes(story.run(5, DOWN, ago_s=30))
    assert event.cause is TransitionCause.FAILURE_RATE


def test_seconds_before_the_window_are_no_part_of_the_rate() -> None:
    """They still count for failures in a row, which follow the log's order."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    story.calls(10)
    assert story.outcomes(story.run(50, DOWN, ago_s=60)) == []
    assert figures(story.window, story.policy).consecutive_failures == 50
    assert figures(story.window, story.policy).calls == 10


def test_outcomes_five_minutes_late_are_for_statistics_only() -> None:
    """No window reaches so far back."""
    story = Story()
    story.calls(1)
    assert story.outcomes(story.run(50, DOWN, ago_s=300)) == []
    assert (story.window.stale_calls, story.window.stale_failures) == (50, 50)
    assert figures(story.window, story.policy).consecutive_failures == 0


def test_a_gateway_whose_clock_is_ahead_does_not_blind_the_breaker() -> None:
    """A second after the fold's clock is taken as the clock's, else all others would be before the window."""
    story = Story(BreakerPolicy(consecutive_failures=NEVER))
    story.outcomes(story.run(5, DOWN, ago_s=-3600))
    assert story.window.buckets == ((START_S, 5, 5),)
    assert len(story.calls(5, DOWN)) == 1


def test_a_count_window_holds_the_last_calls() -> None:
    """Of the last ten calls half failed, whenever they were."""
    story = Story(BreakerPolicy(window=WindowKind.COUNT, window_calls=10, consecutive_failures=NEVER))
    story.calls(10)
    story.wait(3600)
    assert story.calls(4, DOWN) == []
    story.wait(3600)
    (event,) = story.calls(1, DOWN)
    assert (event.calls, event.failures) == (10, 5)


def test_a_count_window_smaller_than_the_minimum_is_a_minimum_itself() -> None:
    """Else it would never have a rate."""
    story = Story(BreakerPolicy(window=WindowKind.COUNT, window_calls=4, minimum_calls=10))
    (event,) = story.outcomes(story.run(2), story.run(2, DOWN))
    assert event.cause is TransitionCause.FAILURE_RATE


def test_a_million_equal_outcomes_trip_at_the_right_call() -> None:
    """A run is not unrolled: the streak's limit is reached at call 999,999."""
    story = Story(BreakerPolicy(consecutive_failures=999_999, failure_rate=1.0))
    story.outcomes(story.run(1))
    (event,) = story.calls(1_000_000, DOWN)
    assert (event.run_calls, event.failures) == (999_999, 999_999)
    assert story.window.stale_calls == 1


def test_outcomes_of_another_epoch_are_for_statistics_only() -> None:
    """Older ones are stale; a newer one than the breaker's comes from a gateway whose clock is ahead."""
    story = Story()
    story.with_policy(open_for_s=1)
    story.half_open()
    for _ in range(3):
        story.calls(1, epoch=2)
    assert story.state is BreakerState.CLOSED
    assert story.calls(50, DOWN, epoch=2) == []
    assert story.calls(50, DOWN, epoch=4) == []
    assert figures(story.window, story.policy).calls == 0
    assert len(story.calls(5, DOWN, epoch=3)) == 1


def test_outcomes_in_open_are_for_statistics_only() -> None:
    """Calls under way when it opened end later and change nothing."""
    story = Story()
    story.trip()
    assert story.calls(50, DOWN, epoch=1) == []
    assert story.calls(50, OK) == []
    assert story.window.calls == 0
    assert (story.window.stale_calls, story.window.stale_failures) == (100, 50)


def test_the_rest_of_the_run_that_tripped_is_stale() -> None:
    """The trip ends the epoch that admitted it."""
    story = Story()
    assert len(story.calls(100, DOWN)) == 1
    assert (story.window.total_calls, story.window.stale_calls) == (5, 95)


def test_a_range_that_was_folded_before_changes_nothing() -> None:
    """A republished OutcomesObserved is told by its source range, whatever its offset."""
    story = Story()
    story.calls(4, DOWN)
    before = (story.breaker, story.window)
    again = observed(7, story.run(4, DOWN), start=0, end=1)
    decided = decide(*before, story.in_force, again, offset=7, clock_us=story.clock_us)
    assert (decided.breaker, decided.window, decided.events) == (*before, ())


def test_a_stricter_policy_holds_from_the_next_call() -> None:
    """The window is kept, the rules are read anew."""
    story = Story()
    story.calls(4, DOWN)
    story.with_policy(consecutive_failures=3)
    (event,) = story.calls(1, DOWN)
    assert (event.consecutive_failures, event.policy_version) == (5, 1)
