"""Virtual time."""

from __future__ import annotations

from demo.clock import VirtualClock

HISTORY_US = 1_699_450_200_000_000
START_US = 1_800_000_000_000_000


def test_history_runs_faster_by_the_speed() -> None:
    """A second of the wall clock is `speed` seconds of history."""
    clock = VirtualClock(HISTORY_US, START_US, 60.0)
    assert clock.virtual_us(START_US) == HISTORY_US
    assert clock.virtual_us(START_US + 1_000_000) == HISTORY_US + 60_000_000


def test_history_leads_back_to_the_wall_clock() -> None:
    """Both directions agree to within the microseconds that a step of history takes."""
    clock = VirtualClock(HISTORY_US, START_US, 68.7)
    virtual_us = clock.virtual_us(START_US + 12_345_678)
    assert abs(clock.wall_us_of(virtual_us) - (START_US + 12_345_678)) <= 1


def test_history_has_not_begun_before_the_start() -> None:
    """Before the start instant the clock stands before its begin, so that waiting for the begin waits."""
    clock = VirtualClock(HISTORY_US, START_US, 60.0)
    assert clock.virtual_us(START_US - 1_000_000) < HISTORY_US


async def test_waiting_for_the_past_returns_at_once() -> None:
    """A time that is over is not waited for."""
    await VirtualClock(HISTORY_US, 0, 1.0).until(HISTORY_US)
