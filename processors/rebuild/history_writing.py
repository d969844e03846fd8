"""The new schema of the history written by the sink itself, nearer to the log with each `reach`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.rebuild.bad_records import BadRecord, Place
from processors.rebuild.errors import BadRecordError
from processors.rebuild.history_plan import HistoryOptions, start_gone
from projections.history.beside import Beside
from projections.history.sink import HistorySink


@dataclass(slots=True)
class HistoryWriting:
    """`letters` are the records that workers have dead-lettered. `moved` is called after each batch with its records.

    `skipped` are the records that were refused here and nowhere before.
    """

    log: LogSettings
    reader: LogReader
    sink: HistorySink
    schemas: Beside
    options: HistoryOptions
    letters: frozenset[Place]
    moved: Callable[[int], None]
    at: dict[Partition, int] = field(default_factory=dict)
    written: int = 0
    skipped: list[BadRecord] = field(default_factory=list)

    async def open(self, places: Iterable[Partition]) -> None:
        """Begin, or go on where an interrupted rebuild was."""
        for place in places:
            self.at[place] = await self.sink.open(place)
            await self._judge(place, 0)

    def behind(self, ends: Mapping[Partition, int]) -> int:
        """How many records lie before these ends."""
        return sum(max(0, end - self.at[place]) for place, end in ends.items() if place in self.at)

    async def reach(self, ends: Mapping[Partition, int]) -> None:
        """Write up to these next offsets. LogStartGoneError, BadRecordError."""
        for topic in dict.fromkeys(place.topic for place in ends):
            wanted = {
                place.number: Range(self.at[place], end)
                for place, end in ends.items()
                if place.topic == topic and self.at.get(place, end) < end
            }
            async with aclosing(self.reader.read(topic, wanted)) as batches:
                async for number, records in batches:
                    await self._write(Partition(topic, number), records)

    async def _write(self, place: Partition, records: Sequence[LogRecord]) -> None:
        start = self.at[place]
        if records[0].offset > start and not self.options.shorter:
            readable = (await self.reader.ranges(place.topic))[place.number]
            if readable.start > start:
                raise start_gone(place, start, readable.start)
        self.at[place] = await self.sink.write(place, start, records)
        await self._judge(place, start)
        self.written += len(records)
        self.moved(len(records))

    async def _judge(self, place: Partition, start: int) -> None:
        """A record that was refused before, by a worker or by the live history, is part of history; another is news."""
        name = self.log.full_name(place.topic)
        for one in await self.schemas.newly_refused(place, start):
            if (name, place.number, one.offset) in self.letters:
                continue
            bad = BadRecord(name, place.number, one.offset, one.reason, one.detail, was_lettered=False)
            if not self.options.skips_bad:
                raise BadRecordError(
                    f"{bad}; neither has a worker made a dead letter of it, nor the live history refused it. Mend the cause and "
                    "begin again with --anew, or go on with such records in the table `refused` with --skip-bad"
                )
            self.skipped.append(bad)
