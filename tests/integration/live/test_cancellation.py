"""A cancellation, and so the end of a bounded wait, is never lost within a command to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from events.positions import Partition, PositionVector
from projections.errors import LaggingError
from projections.live.consistency import Consistency, Waits
from projections.live.slots import Slot
from projections.live.store import LiveStore
from tests.integration.live_server import LiveServer

ROUNDS = 10
WAITS = 20


async def no_ends(partitions: Collection[Partition]) -> PositionVector:
    raise AssertionError("a session does not ask where the log ends")


async def test_a_bound_that_strikes_within_a_command_ends_the_wait(server: LiveServer) -> None:
    """Waits that poll all the time, bounded so shortly that the bound falls into every phase of a command."""
    settings = server.settings(consistency_timeout_s=0.02, consistency_poll_s=0.001)
    async with LiveStore(settings) as store:
        waits = Waits(store, 1, no_ends)

        async def lags() -> None:
            with pytest.raises(LaggingError):
                await waits.reach(Consistency.SESSION, [Slot("usage", 0)], {Partition("usage", 0): 5})

        for _ in range(ROUNDS):
            async with asyncio.timeout(10):
                await asyncio.gather(*(lags() for _ in range(WAITS)))
