"""A replay applies what was decided, at the very call at which it was decided, and never decides it again."""

from __future__ import annotations

import pytest

from events.breaker_transitioned import BreakerState
from processors.breaker.decide import catch_up, decide
from projections.errors import BrokenInvariantError
from projections.live.breaker import evolve, initial
from projections.live.provider import PolicyInForce
from projections.live.window import Window
from tests.breaker_story import DOWN, MODEL, OK, PROVIDER, Story, observed


def test_a_recorded_transition_is_applied_inside_its_run() -> None:
    """Live it tripped at the fifth of eight failures; a policy that never trips replays just that."""
    story = Story()
    story.calls(8, DOWN)
    lenient = PolicyInForce(Story().policy.__class__(consecutive_failures=100, minimum_calls=100), 9)
    record = observed(0, story.run(8, DOWN))
    again = decide(
        initial(PROVIDER, MODEL),
        Window(),
        lenient,
        record,
        offset=0,
        clock_us=story.clock_us,
        recorded=story.events,
    )
    assert (again.breaker, again.window, again.events) == (story.breaker, story.window, ())
    assert again.recorded == ()


def test_nothing_is_decided_before_the_last_recorded_transition() -> None:
    """A policy that would have tripped earlier does not, while a recorded transition is still to come."""
    story = Story()
    story.calls(4, DOWN)
    story.calls(1, DOWN)
    strict = PolicyInForce(Story().policy.__class__(consecutive_failures=2), 9)
    first = decide(
        initial(PROVIDER, MODEL),
        Window(),
        strict,
        observed(0, story.run(4, DOWN)),
        offset=0,
        clock_us=story.clock_us,
        recorded=story.events,
    )
    assert first.breaker.state is BreakerState.CLOSED
    assert first.recorded == tuple(story.events)


def test_silence_of_the_log_is_a_decision_too() -> None:
    """Below `decided_to` nothing is decided, though no transition is recorded."""
    story = Story()
    record = observed(0, story.run(50, DOWN))
    quiet = decide(
        story.breaker,
        story.window,
        story.in_force,
        record,
        offset=0,
        clock_us=story.clock_us,
        decided_to=1,
    )
    assert quiet.events == ()
    assert quiet.window.consecutive_failures == 50


def test_recorded_transitions_of_a_silent_deployment_are_caught_up() -> None:
    """The end of an open wait, recorded at offset 1, holds when the partition reaches 1, outcomes or not."""
    story = Story()
    story.half_open()
    trip, elapsed = story.events
    begun = catch_up(initial(PROVIDER, MODEL), Window(), story.events, 0)
    assert begun.recorded == (trip, elapsed)
    ended = catch_up(initial(PROVIDER, MODEL), Window(), story.events, 1)
    assert ended.breaker.state is BreakerState.HALF_OPEN
    assert ended.recorded == ()


def test_a_transition_that_was_applied_before_is_a_duplicate() -> None:
    """A republished event changes nothing."""
    story = Story()
    story.half_open()
    assert evolve(story.breaker, story.events[0]) is story.breaker


def test_a_gap_in_the_versions_is_a_broken_invariant() -> None:
    """Something of the breakers topic is missing: better to stop than to guess."""
    story = Story()
    story.half_open()
    with pytest.raises(BrokenInvariantError, match="version 0 and was given version 2"):
        evolve(initial(PROVIDER, MODEL), story.events[1])
    with pytest.raises(BrokenInvariantError):
        evolve(initial(PROVIDER, "gpt-5"), story.events[0])


def test_a_region_belongs_to_the_deployment() -> None:
    """`provider/model@region`; a breaker of its own."""
    assert initial(PROVIDER, MODEL, "eu").deployment == "openai/gpt-4o@eu"
    assert initial(PROVIDER, MODEL) != initial(PROVIDER, MODEL, "eu")


def test_decisions_name_what_caused_them() -> None:
    """The outcomes record, by its event id."""
    story = Story()
    event = story.trip()
    assert event.causation_id == observed(0, story.run(1, OK)).event_id
