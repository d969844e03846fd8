"""Repair of the history: the rows that differ are written again from their records, and the sums that differ from the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from events.codec import Codec
from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.verify.history import Wrong
from processors.verify.mended import Mended
from projections.history.beside import beside
from projections.history.database import Database
from projections.history.excerpt import DAY_US, Excerpt
from projections.history.rollup_mender import mend_rollups
from projections.history.rollups import Bucket
from projections.history.settings import HistorySettings
from projections.history.take_back import WITHIN_S
from projections.history.write_again import Again, Rewriter, WrittenAgain

OFFSETS_AT_ONCE = 500
"""What one transaction takes, so that the sink waits shortly."""


@dataclass(frozen=True, slots=True)
class HistoryRepair:
    """What a proof has found wrong, set right from the log while the sink goes on."""

    log: LogSettings
    history: HistorySettings
    codec: Codec

    async def repair(self, wrong: Mapping[Partition, Wrong]) -> list[Mended]:
        """What was done, by key: rows first, then the sums of the days that they are of.

        SchemaBusyError when another command builds, switches or fills this history; SinkUnavailableError,
        LogUnavailableError. What was done until then stays done.
        """
        mended: list[Mended] = []
        database = Database(self.history.model_copy(update={"write_timeout_s": WITHIN_S}))
        rewriter = Rewriter(database, self.codec, self.log)
        try:
            async with beside(self.history, "repair"):
                for place, one in sorted(wrong.items()):
                    days = {start_us // DAY_US for _, start_us in one.buckets}
                    offsets = sorted(one.offsets)
                    for at in range(0, len(offsets), OFFSETS_AT_ONCE):
                        some = offsets[at : at + OFFSETS_AT_ONCE]
                        done = await rewriter.write(Again(place, some, await self._records(place, some)))
                        days |= {time_us // DAY_US for time_us in done.called_at_us}
                        mended += _told(place, done)
                    for day in sorted(days):
                        excerpt = Excerpt(day * DAY_US, (day + 1) * DAY_US)
                        sums = await mend_rollups(database, place, excerpt, one.whole_from_us)
                        mended += _summed(place, sums.buckets)
        finally:
            await database.close()
        return list(dict.fromkeys(mended))

    async def _records(self, place: Partition, offsets: list[int]) -> list[LogRecord]:
        """Those that the log has at these offsets."""
        reader, wanted = LogReader(self.log), set(offsets)
        held = await reader.range_of(place)
        part = Range(max(offsets[0], held.start), min(offsets[-1] + 1, held.end))
        if part.start >= part.end:
            return []
        async with aclosing(reader.read(place.topic, {place.number: part})) as batches:
            return [record async for _, some in batches for record in some if record.offset in wanted]


def _begin(bucket: Bucket) -> tuple[int, str]:
    grain, start_us = bucket
    return start_us, grain.name


def _told(place: Partition, done: WrittenAgain) -> Iterator[Mended]:
    for offset in sorted({*done.gone, *done.rows, *done.refused}):
        if offset in done.refused:
            how = "refused"
        elif offset not in done.rows:
            how = "taken out"
        else:
            how = "written anew" if offset in done.gone else "written"
        yield Mended(str(place), str(offset), how)


def _summed(place: Partition, buckets: Collection[Bucket]) -> Iterator[Mended]:
    for grain, start_us in sorted(buckets, key=_begin):
        at = datetime.fromtimestamp(start_us // 1_000_000, UTC)
        yield Mended(str(place), f"{grain.table}:{at:%Y-%m-%dT%H:%MZ}", "summed up anew")
