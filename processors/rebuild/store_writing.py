"""A store that is built anew, written by the sink of its kind itself, nearer to the log with each `reach`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from processors.rebuild.store_plan import start_gone
from projections.sink import Sink

Judge = Callable[[Partition, int], Awaitable[None]]
"""Looks at what was just written of a partition from an offset on, and raises when the rebuild has to stop there."""


async def nothing_judged(place: Partition, start: int) -> None:
    """For a store that refuses nothing."""


@dataclass(slots=True)
class StoreWriting:
    """`shorter`: records that can no longer be read are left out. `moved` is called after each batch with its records."""

    reader: LogReader
    sink: Sink
    shorter: bool
    moved: Callable[[int], None]
    judge: Judge = nothing_judged
    at: dict[Partition, int] = field(default_factory=dict)
    written: int = 0

    async def open(self, places: Iterable[Partition]) -> None:
        """Begin, or go on where an interrupted rebuild was."""
        for place in places:
            self.at[place] = await self.sink.open(place)
            await self.judge(place, 0)

    def behind(self, ends: Mapping[Partition, int]) -> int:
        """How many records lie before these ends."""
        return sum(max(0, end - self.at[place]) for place, end in ends.items() if place in self.at)

    async def reach(self, ends: Mapping[Partition, int]) -> None:
        """Write up to these next offsets; all of it is durable then. LogStartGoneError, and what the judge raises."""
        for topic in dict.fromkeys(place.topic for place in ends):
            wanted = {
                place.number: Range(self.at[place], end)
                for place, end in ends.items()
                if place.topic == topic and self.at.get(place, end) < end
            }
            async with aclosing(self.reader.read(topic, wanted)) as batches:
                async for number, records in batches:
                    await self._write(Partition(topic, number), records)
        await self.sink.drain()

    async def _write(self, place: Partition, records: Sequence[LogRecord]) -> None:
        start = self.at[place]
        if records[0].offset > start and not self.shorter:
            readable = (await self.reader.ranges(place.topic))[place.number]
            if readable.start > start:
                raise start_gone(place, start, readable.start)
        await self.sink.write(place, start, records)
        await (
            self.sink.tick()
        )  # a sink that gathers makes durable what is due, so that little is lost with a kill
        self.at[place] = records[-1].offset + 1
        await self.judge(place, start)
        self.written += len(records)
        self.moved(len(records))
