"""From open back to closed: waiting, probing, back-off and recovery."""

from __future__ import annotations

from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import OutcomeKind
from events.provider_changed import BreakerPolicy
from processors.breaker.decide import due_us
from processors.breaker.rules import open_for_us
from projections.live.breaker import effective_epoch, effective_state
from tests.breaker_story import DOWN, OK, SECOND_US, Story


def test_it_waits_half_a_minute_and_up_to_a_fifth_more() -> None:
    """The first wait, with its jitter."""
    story = Story()
    event = story.trip()
    assert event.open_until is not None
    assert 30 * SECOND_US <= event.open_until - story.clock_us <= 36 * SECOND_US


def test_open_ends_by_itself_for_whoever_looks() -> None:
    """No timer is needed: a router sees HALF_OPEN and the epoch that its probes carry from `open_until` on."""
    story = Story()
    until_us = story.trip().open_until
    assert until_us is not None
    assert effective_state(story.breaker, until_us - 1) is BreakerState.OPEN
    assert effective_epoch(story.breaker, until_us - 1) == 1
    assert effective_state(story.breaker, until_us) is BreakerState.HALF_OPEN
    assert effective_epoch(story.breaker, until_us) == 2
    assert due_us(story.breaker, story.in_force) == until_us


def test_a_probe_of_the_lazy_epoch_is_counted() -> None:
    """The decider appends that the wait is over, then counts the probe."""
    story = Story()
    story.trip()
    story.wait(40)
    (event,) = story.calls(1, epoch=2)
    assert (event.cause, event.epoch) == (TransitionCause.OPEN_ELAPSED, 2)
    assert (event.outcomes_offset, event.run_index, event.run_calls) == (1, 0, 0)
    assert story.window.calls == 1


def test_an_early_probe_moves_nothing() -> None:
    """A router whose clock is ahead cannot end the wait before its time."""
    story = Story()
    story.trip()
    assert story.calls(3, epoch=2) == []
    assert story.state is BreakerState.OPEN


def test_three_successes_close_it_with_a_fresh_window() -> None:
    """Each counted probe, one verdict."""
    story = Story()
    story.half_open()
    assert story.calls(2, epoch=2) == []
    (event,) = story.calls(1, epoch=2)
    assert (event.cause, event.to_state) == (TransitionCause.PROBES_SUCCEEDED, BreakerState.CLOSED)
    assert story.window.calls == 0
    assert story.window.buckets == ()
    assert story.calls(4, DOWN, epoch=3) == []


def test_one_failed_probe_opens_it_again_at_once() -> None:
    """Without waiting for the other probes, and for twice as long."""
    story = Story()
    story.half_open()
    (event,) = story.outcomes(story.run(2, epoch=2), story.run(1, DOWN, epoch=2))
    assert (event.cause, event.trips) == (TransitionCause.PROBE_FAILED, 2)
    assert event.open_until is not None
    assert 60 * SECOND_US <= event.open_until - story.clock_us <= 72 * SECOND_US


def test_only_probes_count_in_half_open() -> None:
    """Stale epochs and calls that asked no breaker give no verdict."""
    story = Story()
    story.half_open()
    assert story.outcomes(story.run(9, DOWN), story.run(9, OK, epoch=1), story.run(9, DOWN, epoch=0)) == []
    assert story.state is BreakerState.HALF_OPEN
    assert story.window.stale_calls == 27


def test_ignored_outcomes_give_no_verdict() -> None:
    """A probe that was a bad request says nothing of the provider."""
    story = Story()
    story.half_open()
    assert story.calls(9, OutcomeKind.BAD_REQUEST, epoch=2) == []
    assert story.state is BreakerState.HALF_OPEN


def test_no_verdict_in_time_opens_it_again() -> None:
    """After `half_open_max_wait`; nothing failed, so the back-off does not grow."""
    story = Story()
    story.half_open()
    story.calls(1, epoch=2)
    story.wait(59)
    assert story.tick() == []
    story.wait(1)
    (event,) = story.tick()
    assert (event.cause, event.to_state, event.trips) == (
        TransitionCause.HALF_OPEN_TIMEOUT,
        BreakerState.OPEN,
        1,
    )


def test_the_wait_doubles_up_to_its_cap() -> None:
    """30, 60, 120, 240, then 300 s, before jitter."""
    policy = BreakerPolicy(jitter=0.0)
    waits = [
        open_for_us(policy, trips, "openai/gpt-4o", 1) // SECOND_US for trips in (1, 2, 3, 4, 5, 6, 5000)
    ]
    assert waits == [30, 60, 120, 240, 300, 300, 300]


def test_deployments_that_trip_together_are_not_probed_together() -> None:
    """The jitter follows from deployment and version, and nothing else."""
    policy = BreakerPolicy()
    waits = {open_for_us(policy, 1, f"openai/model-{number}", 1) for number in range(50)}
    assert len(waits) == 50
    assert open_for_us(policy, 1, "openai/gpt-4o", 3) == open_for_us(policy, 1, "openai/gpt-4o", 3)


def test_a_trip_soon_after_recovery_waits_longer() -> None:
    """Closing does not forgive."""
    story = Story()
    story.half_open()
    story.calls(3, epoch=2)
    assert story.trip().trips == 2


def test_trips_fall_by_one_per_healthy_interval() -> None:
    """An interval is `open_for_cap_s` spent CLOSED: after three trips and one interval the next is the third."""
    story = Story()
    story.half_open()
    for _ in range(2):
        story.calls(1, DOWN, epoch=story.breaker.epoch)
        story.reach_half_open()
    assert story.breaker.trips == 3
    story.calls(3, epoch=story.breaker.epoch)
    story.wait(599)
    assert story.trip().trips == 3


def test_trips_fall_to_zero_and_no_further() -> None:
    """A day of health, and the next trip is a first one."""
    story = Story()
    story.half_open()
    story.calls(3, epoch=2)
    story.wait(86_400)
    assert story.trip().trips == 1


def test_every_transition_adds_one_to_version_and_epoch() -> None:
    """They are equal, so the epoch of a lazy transition is known ahead."""
    story = Story()
    story.half_open()
    story.calls(3, epoch=2)
    assert [(event.version, event.epoch) for event in story.events] == [(1, 1), (2, 2), (3, 3)]
    assert len({event.event_id for event in story.events}) == 3
