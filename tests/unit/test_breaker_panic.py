"""Panic mode: everything that could serve is open."""

from __future__ import annotations

from dataclasses import replace

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from projections.live.breaker import Breaker, initial
from projections.live.panic import panic_probe
from tests.breaker_story import Story

NOW_US = Story().clock_us


def opened(model: str, for_s: int) -> Breaker:
    """A breaker that is open for so long still."""
    return replace(
        initial("openai", model), state=BreakerState.OPEN, open_until_us=NOW_US + for_s * 1_000_000
    )


def test_the_open_breaker_nearest_to_its_end_is_probed() -> None:
    """Of three open ones the one with the earliest `open_until`; of equals the first by name."""
    assert panic_probe([opened("c", 30), opened("b", 10), opened("a", 20)], NOW_US) == opened("b", 10)
    assert panic_probe([opened("b", 10), opened("a", 10)], NOW_US) == opened("a", 10)


def test_no_panic_while_one_can_serve() -> None:
    """CLOSED, or HALF_OPEN by now: the usual rules hold."""
    assert panic_probe([opened("a", 10), initial("openai", "b")], NOW_US) is None
    assert panic_probe([opened("a", 10), opened("b", 0)], NOW_US) is None
    assert panic_probe([], NOW_US) is None


def test_an_override_is_never_bypassed() -> None:
    """A forced-open deployment is neither probed nor waited for."""
    story = Story()
    story.override(OverrideMode.FORCED_OPEN)
    assert panic_probe([story.breaker], NOW_US) is None
    assert panic_probe([story.breaker, opened("a", 10)], NOW_US) == opened("a", 10)


def test_gates_are_never_bypassed() -> None:
    """Neither a refused credential nor a rate gate is tried, open or not."""
    refused, limited = Story(), Story()
    refused.calls(1, OutcomeKind.UNAUTHORIZED)
    refused.trip()
    limited.outcomes(limited.run(1, OutcomeKind.RATE_LIMITED, gate_s=60))
    assert panic_probe([refused.breaker, limited.breaker], NOW_US) is None
    assert panic_probe([refused.breaker, limited.breaker, opened("a", 10)], NOW_US) == opened("a", 10)


def test_a_panic_probe_does_not_close_a_breaker_early() -> None:
    """It carries the epoch of the open breaker: for statistics only."""
    story = Story()
    story.trip()
    assert story.calls(3, epoch=story.breaker.epoch) == []
    assert story.state is BreakerState.OPEN
