"""Operators force a breaker, or take the force away."""

from __future__ import annotations

import pytest

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, TransitionCause
from processors.breaker.decide import first_seen
from projections.live import override as standing_override
from projections.live import provider as provider_settings
from projections.live.breaker import BLOCKING, effective_epoch, effective_state
from projections.live.counting import figures
from tests.breaker_story import DOWN, OK, PROVIDER, SECOND_US, Story, observed, overridden


def test_forced_open_refuses_until_cleared() -> None:
    """With who, why and until when."""
    story = Story()
    (event,) = story.override(OverrideMode.FORCED_OPEN, actor="ann", reason="maintenance")
    assert (event.from_state, event.to_state) == (BreakerState.CLOSED, BreakerState.FORCED_OPEN)
    assert event.cause is TransitionCause.OVERRIDE_SET
    assert (event.override_actor, event.override_reason, event.override_until) == ("ann", "maintenance", None)
    assert event.reason == "ann: maintenance"
    story.wait(86_400)
    assert story.calls(100, OK) == []
    assert story.state is BreakerState.FORCED_OPEN


@pytest.mark.parametrize("mode", [OverrideMode.DISABLED, OverrideMode.METRICS_ONLY])
def test_disabled_and_metrics_only_never_block(mode: OverrideMode) -> None:
    """However many calls fail."""
    story = Story()
    story.override(mode)
    assert story.calls(1000, DOWN) == []
    assert story.state not in BLOCKING


def test_statistics_go_on_in_metrics_only() -> None:
    """One sees what the breaker would have seen."""
    story = Story()
    story.override(OverrideMode.METRICS_ONLY)
    story.calls(20, DOWN, epoch=1)
    assert figures(story.window, story.policy).failures == 20


def test_disabled_counts_nothing() -> None:
    """Not even statistics; only that the range was folded is remembered."""
    story = Story()
    story.override(OverrideMode.DISABLED)
    before = story.window
    story.calls(20, DOWN, epoch=1)
    assert story.window.sources == {"usage.0": 1}
    assert (story.window.stale_calls, story.window.total_calls) == (before.stale_calls, before.total_calls)


@pytest.mark.parametrize("mode", [OverrideMode.FORCED_OPEN, OverrideMode.DISABLED, OverrideMode.METRICS_ONLY])
def test_clearing_closes_with_a_fresh_window(mode: OverrideMode) -> None:
    """What was counted under the override is no ground to open."""
    story = Story()
    story.override(mode)
    story.calls(50, DOWN)
    (event,) = story.override(OverrideMode.NONE)
    assert (event.cause, event.to_state) == (TransitionCause.OVERRIDE_CLEARED, BreakerState.CLOSED)
    assert event.override_actor is None
    assert story.calls(4, DOWN) == []


def test_an_override_expires_for_whoever_looks() -> None:
    """A router needs no timer: CLOSED and its epoch from the expiry on."""
    story = Story()
    story.override(OverrideMode.FORCED_OPEN, for_s=60)
    until_us = story.clock_us + 60 * SECOND_US
    assert effective_state(story.breaker, until_us - 1) is BreakerState.FORCED_OPEN
    assert effective_state(story.breaker, until_us) is BreakerState.CLOSED
    assert effective_epoch(story.breaker, until_us) == 2
    story.wait(60)
    (event,) = story.calls(1, OK, epoch=2)
    assert event.cause is TransitionCause.OVERRIDE_EXPIRED
    assert story.window.calls == 1


def test_clearing_without_an_override_changes_nothing() -> None:
    """An open breaker is not closed by it."""
    story = Story()
    story.trip()
    assert story.override(OverrideMode.NONE) == []


def test_the_same_override_again_changes_nothing() -> None:
    """Another reason or expiry is told, though."""
    story = Story()
    story.override(OverrideMode.DISABLED)
    assert story.override(OverrideMode.DISABLED) == []
    (event,) = story.override(OverrideMode.DISABLED, reason="still")
    assert (event.from_state, event.to_state) == (BreakerState.DISABLED, BreakerState.DISABLED)


def test_an_override_keeps_the_trips() -> None:
    """Forcing is no recovery."""
    story = Story()
    story.trip()
    story.override(OverrideMode.DISABLED)
    story.override(OverrideMode.NONE)
    assert story.trip().trips == 2


def test_an_override_of_a_provider_holds_for_deployments_seen_later() -> None:
    """The first outcomes of a new deployment find it forced already."""
    settings = provider_settings.initial(PROVIDER)
    standing = standing_override.evolve(
        standing_override.initial(PROVIDER), overridden(OverrideMode.FORCED_OPEN, model=None)
    )
    story = Story()
    record = observed(4, story.run(3))
    seen = first_seen(record, settings, standing, offset=4, clock_us=story.clock_us)
    assert seen.breaker.state is BreakerState.FORCED_OPEN
    assert [event.causation_id for event in seen.events] == [standing.event_id]
    assert seen.events[0].outcomes_offset == 4
    again = first_seen(record, settings, standing, offset=4, clock_us=story.clock_us, recorded=seen.events)
    assert (again.events, again.recorded) == ((), seen.events)
    assert (
        first_seen(record, settings, standing, offset=4, clock_us=story.clock_us, decided_to=5).events == ()
    )


def test_an_expired_or_cleared_override_of_a_provider_holds_for_none() -> None:
    """Nor does one of a single deployment hold for others."""
    story = Story()
    standing = standing_override.initial(PROVIDER)
    assert standing_override.evolve(standing, overridden(OverrideMode.DISABLED)) == standing
    forced = standing_override.evolve(
        standing, overridden(OverrideMode.DISABLED, model=None, until_us=story.clock_us)
    )
    assert not forced.in_force(story.clock_us)
    assert forced.in_force(story.clock_us - 1)
    cleared = standing_override.evolve(forced, overridden(OverrideMode.NONE, model=None))
    assert not cleared.in_force(0)
    assert standing_override.StandingOverride.from_json(forced.to_json()) == forced
