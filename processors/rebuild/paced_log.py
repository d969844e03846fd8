"""The log read no faster than a pace allows, by all who read it through here together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from events.reader import Batch, LogReader, Range
from events.settings import LogSettings
from processors.rebuild.pace import Pace


class PacedLog(LogReader):
    """Reads as the reader within does. `pace` may be another one later."""

    def __init__(self, settings: LogSettings, within: LogReader, pace: Pace) -> None:
        super().__init__(settings)
        self.pace = pace
        self._within = within

    async def ranges(self, topic: str) -> dict[int, Range]:
        """As the reader within."""
        return await self._within.ranges(topic)

    async def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """The same records, a few at once when the pace is slow."""
        async with aclosing(self._within.read(topic, wanted)) as batches:
            async for number, records in batches:
                step = self.pace.most(len(records))
                for first in range(0, len(records), step):
                    some = records[first : first + step]
                    await self.pace.take(len(some))
                    yield number, some
