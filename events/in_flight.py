"""What waits for the log's acknowledgement, bounded in records and in bytes: who comes when it is full is told to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from events.errors import BackpressureError

ROOM_WAIT_S = 0.5
RETRY_AFTER_S = 1.0


@dataclass(slots=True)
class InFlight:
    """Room for so many records and bytes. One request that is larger than all of it is let in when it is empty."""

    max_records: int
    max_bytes: int
    records: int = 0
    size: int = 0
    _left: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def hold(self, records: int, size: int) -> AsyncIterator[None]:
        """Take room for the time of the block. BackpressureError when there is none within ROOM_WAIT_S."""
        if not self._fits(records, size):
            await self._wait(records, size)
        self.records += records
        self.size += size
        try:
            yield
        finally:
            self.records -= records
            self.size -= size
            async with self._left:
                self._left.notify_all()

    async def _wait(self, records: int, size: int) -> None:
        try:
            async with asyncio.timeout(ROOM_WAIT_S), self._left:
                await self._left.wait_for(lambda: self._fits(records, size))
        except TimeoutError:
            raise BackpressureError(
                f"{self.records} events ({self.size} bytes) wait for the log already; try again",
                retry_after_s=RETRY_AFTER_S,
            ) from None

    def _fits(self, records: int, size: int) -> bool:
        return self.records == 0 or (
            self.records + records <= self.max_records and self.size + size <= self.max_bytes
        )
