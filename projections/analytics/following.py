"""The sink that writes whichever set of collections is live: it goes over to another one with all that it owns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from events.codec import Codec
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.analytics.places import client
from projections.analytics.sets import read_sets, set_of
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import LOOK_EVERY_S, AnalyticsSink
from projections.errors import StaleCheckpointError
from projections.tip import Tip


class FollowingSink:
    """An AnalyticsSink of the live set. What it had gathered for another set is let go: the live one says where to read on."""

    name = AnalyticsSink.name
    topics = AnalyticsSink.topics

    def __init__(self, settings: AnalyticsSettings, codec: Codec, log: LogSettings) -> None:
        self._settings = settings
        self._codec = codec
        self._log = log
        self._chroma = client(settings, settings.request_timeout_s)
        self._number = 0
        self._sink = AnalyticsSink(settings, codec, log)
        self._opening = asyncio.Lock()
        self._look_due_s = 0.0

    async def open(self, place: Partition) -> int:
        async with self._opening:
            await self._follow()
            return await self._sink.open(place)

    def tip(self, place: Partition) -> Tip | None:
        return self._sink.tip(place)

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        """As the sink within; StaleCheckpointError for a partition that was opened in another set."""
        return await self._sink.write(place, start, records)

    async def tick(self) -> dict[Partition, int]:
        """As the sink within; StaleCheckpointError when another set is live."""
        now_s = time.monotonic()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_EVERY_S
            if (number := await self._live()) != self._number:
                raise StaleCheckpointError(
                    f"another set of collections is live, {number} instead of {self._number}"
                )
        return await self._sink.tick()

    async def release(self, place: Partition) -> None:
        await self._sink.release(place)

    async def drain(self) -> dict[Partition, int]:
        return await self._sink.drain()

    async def positions(self) -> dict[Partition, int]:
        async with self._opening:
            await self._follow()
            return await self._sink.positions()

    async def close(self) -> None:
        await self._sink.close()
        await self._chroma.close()

    async def _live(self) -> int:
        return (await read_sets(self._chroma, self._settings)).live

    async def _follow(self) -> None:
        """Go over to the live set, if it is another one than before."""
        number = await self._live()
        if number != self._number:
            await self._sink.close()
            self._sink = AnalyticsSink(set_of(self._settings, number), self._codec, self._log)
            self._number = number
