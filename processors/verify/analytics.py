"""The analytics against a naive count of the log: all collections, as the command line does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from events.codec import Codec
from events.reader import LogReader
from events.settings import LogSettings
from processors.verify.analytics_group import AnalyticsFound, GroupProof, Means, OnlyOf
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoints
from projections.analytics.chroma import Chroma
from projections.analytics.documents import COST, PERFORMANCE, ROUTING, STATES, USAGE
from projections.analytics.embedding import vectors_of
from projections.analytics.places import client, full_name, look
from projections.analytics.settings import AnalyticsSettings

GROUPS = (
    (("usage",), (USAGE, COST, PERFORMANCE)),
    (("routing",), (ROUTING,)),
    (("outcomes", "breakers", "health"), (STATES,)),
)
"""Topics, and the collections that hold what is folded from them."""


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class AnalyticsProof:
    """`reader` reads the log, or the log with its archive in front; `told` is called with (done, total) records. `only` proves a
    part.
    """

    log: LogSettings
    analytics: AnalyticsSettings
    codec: Codec
    reader: LogReader
    told: Callable[[int, int], None]
    clock_us: Callable[[], int] = _wall_clock_us
    only: OnlyOf | None = None

    async def verify(self, numbers: Collection[int]) -> AnalyticsFound:
        """Compare every document of these partitions of all topics.

        OtherLogError when the documents tell of records that the log does not have, BegunAnewError when they are built anew
        meanwhile, AnalyticsUnavailableError.
        """
        started_s = time.monotonic()
        found = AnalyticsFound()
        async with aclosing(self.groups(numbers, found)) as groups:
            async for _ in groups:
                pass
        found.took_s = time.monotonic() - started_s
        return found

    async def groups(
        self, numbers: Collection[int], found: AnalyticsFound
    ) -> AsyncGenerator[GroupProof, None]:
        """Each group when it is proved. Errors as those of `verify`."""
        vectors = await asyncio.to_thread(vectors_of, self.analytics.embedding_folder)
        chroma = client(self.analytics, self.analytics.request_timeout_s)
        try:
            total = await self._records(chroma, numbers)
            means = Means(
                self.log,
                self.analytics,
                self.codec,
                self.reader,
                chroma,
                vectors,
                self.clock_us,
                lambda done: self.told(done, max(done, total)),
                numbers,
                self.only,
            )
            for topics, collections in self._wanted():
                for collection in collections:
                    await look(chroma, self.analytics, collection, vectors)
                group = GroupProof(means, topics, collections, found)
                await group.prove()
                yield group
        finally:
            await chroma.close()

    def _wanted(self) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """The groups, each with those of its collections that are compared."""
        for topics, collections in GROUPS:
            wanted = [name for name in collections if self.only is None or name in self.only.collections]
            if wanted:
                yield topics, wanted

    async def _records(self, chroma: Chroma, numbers: Collection[int]) -> int:
        """How many will be folded, as far as that is known now."""
        checkpoints = await Checkpoints(chroma, full_name(self.analytics, CHECKPOINTS)).all()
        total = 0
        for topic in (topic for topics, _ in self._wanted() for topic in topics):
            ranges = await self.reader.ranges(topic)
            total += sum(
                max(0, one.reach - ranges[place.number].start)
                for place, one in checkpoints.items()
                if place.topic == topic and place.number in numbers and place.number in ranges
            )
        return total
