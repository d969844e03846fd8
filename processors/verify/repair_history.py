"""Repair of the history: the rows that differ are written again from their records, and the sums that differ from the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from events.codec import Codec
from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.verify.history import Wrong
from processors.verify.mended import Mended
from projections.history.rollups import Bucket
from projections.history.settings import HistorySettings
from projections.history.write_again import Again, Rewriter, WrittenAgain

OFFSETS_AT_ONCE = 500
BUCKETS_AT_ONCE = 100
"""What one transaction takes, so that the sink waits shortly."""


@dataclass(frozen=True, slots=True)
class HistoryRepair:
    """What a proof has found wrong, set right from the log while the sink goes on."""

    log: LogSettings
    history: HistorySettings
    codec: Codec

    async def repair(self, wrong: Mapping[Partition, Wrong]) -> list[Mended]:
        """What was done, by key. SinkUnavailableError, LogUnavailableError; what was done until then stays done."""
        mended: list[Mended] = []
        rewriter = Rewriter(self.history, self.codec, self.log)
        try:
            for place, one in sorted(wrong.items()):
                offsets, buckets = sorted(one.offsets), sorted(one.buckets, key=_begin)
                for at in range(0, len(offsets), OFFSETS_AT_ONCE):
                    some = offsets[at : at + OFFSETS_AT_ONCE]
                    records = await self._records(place, some)
                    again = Again(place, some, records, whole_from_us=one.whole_from_us)
                    mended += _told(place, await rewriter.write(again))
                for at in range(0, len(buckets), BUCKETS_AT_ONCE):
                    few = buckets[at : at + BUCKETS_AT_ONCE]
                    again = Again(place, buckets=few, whole_from_us=one.whole_from_us)
                    mended += _told(place, await rewriter.write(again))
        finally:
            await rewriter.close()
        return list(dict.fromkeys(mended))

    async def _records(self, place: Partition, offsets: list[int]) -> list[LogRecord]:
        """Those that the log has at these offsets."""
        reader, wanted = LogReader(self.log), set(offsets)
        held = (await reader.ranges(place.topic)).get(place.number, Range(0, 0))
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
    for grain, start_us in sorted(done.buckets, key=_begin):
        at = datetime.fromtimestamp(start_us // 1_000_000, UTC)
        yield Mended(str(place), f"{grain.table}:{at:%Y-%m-%dT%H:%MZ}", "summed up anew")
