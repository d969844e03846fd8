"""A gateway's way to the log: first into the ledger, then published until acknowledged, in small batches."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from random import Random

from demo.clock import wall_us
from demo.errors import BrokenRunError
from demo.ledger import Ledger
from events.envelope import Event
from events.errors import BackpressureError, LogUnavailableError
from events.publisher import PartlyAppendedError, Publisher

PUBLISHED_HEADER = "demo-published-us"
"""Header of each record: the wall clock when it was handed to the log, microseconds."""

BATCH_EVENTS = 500
GATHER_S = 0.004
GIVE_UP_AFTER_S = 30.0
RETRY_PAUSE_S = 0.05
REPEATED_OF_1000_BATCHES = 15


class Outgoing:
    """Events in the order of `put`. `run` publishes them; after `close` it ends when all are acknowledged.

    An event keeps its id however often it is sent. Now and then an acknowledged batch is sent once more, as after an
    acknowledgement that got lost on its way: the folds have to count it once.
    """

    def __init__(self, publisher: Publisher, ledger: Ledger, chance: Random) -> None:
        self._publisher = publisher
        self._ledger = ledger
        self._chance = chance
        self._waiting: deque[Event] = deque()
        self._more = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Publish it soon."""
        self._waiting.append(event)
        self._more.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._more.set()

    async def run(self) -> None:
        """Publish until closed and done. BrokenRunError when the log acknowledges nothing for too long."""
        while self._waiting or not self._closed:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
                await asyncio.sleep(GATHER_S)
                continue
            batch = [self._waiting.popleft() for _ in range(min(BATCH_EVENTS, len(self._waiting)))]
            await self._publish(batch)

    async def _publish(self, batch: list[Event]) -> None:
        ids = [event.event_id for event in batch]
        await asyncio.to_thread(self._ledger.write, batch)
        await self._append(batch)
        await asyncio.to_thread(self._ledger.acknowledge, ids)
        if self._chance.randrange(1000) < REPEATED_OF_1000_BATCHES:
            await asyncio.to_thread(self._ledger.repeat, ids)
            await self._append(batch)

    async def _append(self, batch: list[Event]) -> None:
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                while True:
                    with suppress(LogUnavailableError, BackpressureError, PartlyAppendedError):
                        await self._publisher.append(batch, ((PUBLISHED_HEADER, str(wall_us()).encode()),))
                        return
                    await asyncio.sleep(RETRY_PAUSE_S)
        except TimeoutError:
            raise BrokenRunError(f"the log acknowledged nothing for {GIVE_UP_AFTER_S:g} s") from None
