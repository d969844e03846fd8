"""What may wait for the log at once is bounded, in records and in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from events import in_flight
from events.errors import BackpressureError
from events.in_flight import InFlight


@asynccontextmanager
async def holding(room: InFlight, records: int, size: int) -> AsyncIterator[AsyncExitStack]:
    """Room that is taken until the stack is closed."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room.hold(records, size))
        yield stack


async def take(room: InFlight, records: int, size: int) -> None:
    async with room.hold(records, size):
        pass


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "ROOM_WAIT_S", 0.05)


@pytest.mark.parametrize("records, size", [(6, 10), (1, 60), (100, 1000)])
async def test_what_does_not_fit_is_told_to_come_back(records: int, size: int) -> None:
    """Too many records, too many bytes, both."""
    room = InFlight(max_records=10, max_bytes=100)
    async with holding(room, 5, 50):
        with pytest.raises(BackpressureError, match=r"5 events \(50 bytes\)") as refused:
            await take(room, records, size)
        assert refused.value.retry_after_s > 0
        await take(room, 5, 50)
    assert (room.records, room.size) == (0, 0)


async def test_what_is_larger_than_the_room_goes_alone() -> None:
    """Nothing waits: it is let in, and what comes then has to wait."""
    room = InFlight(max_records=10, max_bytes=100)
    async with holding(room, 50, 5000):
        with pytest.raises(BackpressureError):
            await take(room, 1, 1)
    await take(room, 1, 1)


async def test_a_wait_ends_as_soon_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is let in one after the other, and never more than fit."""
    monkeypatch.setattr(in_flight, "ROOM_WAIT_S", 10.0)
    room = InFlight(max_records=2, max_bytes=100)
    most = 0

    async def pass_through() -> None:
        nonlocal most
        async with room.hold(1, 1):
            most = max(most, room.records)
            await asyncio.sleep(0)

    async with asyncio.timeout(5), holding(room, 2, 2) as held:
        waiting = asyncio.gather(*(pass_through() for _ in range(20)))
        await asyncio.sleep(0)
        await held.aclose()
        await waiting
    assert most == 2
    assert room.records == 0


async def test_room_is_given_back_after_an_error_and_a_cancellation() -> None:
    """However the block ends."""
    room = InFlight(max_records=2, max_bytes=100)
    with pytest.raises(KeyError):
        async with room.hold(2, 2):
            raise KeyError
    with pytest.raises(asyncio.CancelledError):
        async with room.hold(2, 2):
            raise asyncio.CancelledError
    assert (room.records, room.size) == (0, 0)
