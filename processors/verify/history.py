"""The history against the log: each row beside its record, in the order of the log, up to the checkpoint of the history.

All of a partition's rows are read in one snapshot with its checkpoint, so the sink may go on meanwhile.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from events.codec import Codec
from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.verify.errors import OtherLogError
from processors.verify.history_rows import EPOCH, Document, Snapshot, snapshot, time_us
from processors.verify.naive.row import FOLDED, month_of, row_of
from processors.verify.naive.sieve import Recent
from processors.verify.rollups import compare_rollups
from projections.history.excerpt import Excerpt
from projections.history.rollups import Bucket
from projections.history.settings import HistorySettings
from projections.history.tables import Table, derive_tables
from projections.live.canonical import encode
from projections.live.digest import HISTORY_AND_LOG, MOST_NAMED, Comparison

KEPT_AT_LEAST_US = 86_400_000_000
"""Rows of events that are younger are never deleted by retention: a missing one is missing."""
FOR_EVER_US = 2**63
TOLD_BY_ID = FOLDED - {"outcomes"}
"""Of these the live state drops events by the ids that it remembers."""


@dataclass(slots=True)
class Wrong:
    """What of one partition is not what the log says: offsets of rows and refused records, and buckets of rollups.

    Of buckets that begin before `whole_from_us` the log or the table may lack rows, which the sums have.
    """

    offsets: set[int] = field(default_factory=set)
    buckets: set[Bucket] = field(default_factory=set)
    whole_from_us: int = 0


@dataclass(slots=True)
class HistoryFound:
    """What comparing has found. `positions` is how far each partition was compared, `wrong` has those that differ.

    `deleted` counts events older than all that their table holds: retention has taken their rows. `before_log` counts rows
    of records that the log no longer holds: nothing proves or refutes them. `duplicates` have no row of their own; those of
    `counted_again` came later than the live state remembers ids, so it counts them once more; where the first of them lies.
    """

    comparison: Comparison = field(default_factory=lambda: Comparison(HISTORY_AND_LOG))
    positions: dict[Partition, int] = field(default_factory=dict)
    records: int = 0
    rollup_rows: int = 0
    duplicates: int = 0
    counted_again: int = 0
    first_again: tuple[Partition, int] | None = None
    deleted: int = 0
    before_log: int = 0
    took_s: float = 0.0
    wrong: defaultdict[Partition, Wrong] = field(default_factory=lambda: defaultdict(Wrong))


@dataclass(frozen=True, slots=True)
class OnlyOf:
    """A part of the history: rows of these partitions' records from an offset on, and rollups of these topics, of an excerpt."""

    excerpt: Excerpt
    starts: Mapping[Partition, int]
    rolled_up: tuple[str, ...]


@dataclass(slots=True)
class HistoryProof:
    """`told` is called with (done, total) records. `only` proves a part.

    `reader` reads the log otherwise than straight. Retention has taken no events that happened since `kept_since_us`; None:
    since a day ago.
    """

    log: LogSettings
    history: HistorySettings
    codec: Codec
    told: Callable[[int, int], None]
    reader: LogReader | None = None
    kept_since_us: int | None = None
    only: OnlyOf | None = None

    async def verify(self, numbers: Sequence[int]) -> HistoryFound:
        """Compare every row of these partitions of all topics. OtherLogError when the log ends before the history."""
        started_s = time.monotonic()
        reader, found = self.reader or LogReader(self.log), HistoryFound()
        young_us = self.kept_since_us
        if young_us is None:
            young_us = time.time_ns() // 1000 - KEPT_AT_LEAST_US
        excerpt = None if self.only is None else self.only.excerpt
        async with snapshot(self.history) as held:
            checkpoints = {
                place: offset
                for place, offset in (await held.checkpoints()).items()
                if place.number in numbers and (self.only is None or place in self.only.starts)
            }
            wanted = await _wanted(reader, checkpoints, {} if self.only is None else self.only.starts)
            total = sum(part.end - part.start for part in wanted.values())
            tables, whole_from_us = derive_tables(self.log.schemas_folder), dict[Partition, int]()
            gone, ahead_us = 0, self.log.max_event_ahead_s * 1_000_000
            for place, part in sorted(wanted.items()):
                table, before = tables[place.topic], found.deleted
                proof = _PartitionProof(
                    held, table, place, part, self.codec, self.log, found, young_us, ahead_us, excerpt
                )
                await proof.begin()
                async with aclosing(reader.read(place.topic, {place.number: part})) as batches:
                    async for _, records in batches:
                        await proof.take(records)
                        found.records += len(records)
                        self.told(found.records, total)
                await proof.end()
                found.positions[place], whole_from_us[place] = part.end, proof.whole_from_us
                if place.topic == "adjustments":
                    gone += part.start + found.deleted - before
            if self.only is None:
                after = {"usage": await _summed_up_after(held, tables["usage"], young_us)}
                # Adjustments are younger than what they are about, and go later.
                later = (
                    await _summed_up_after(held, tables["adjustments"], young_us) if gone else after["usage"]
                )
                after["adjustments"] = max(after["usage"], later)
            else:
                after = dict.fromkeys(self.only.rolled_up, EPOCH)
            for place in (Partition(topic, number) for topic in after for number in numbers):
                since = after[place.topic]
                compared, buckets = await compare_rollups(held, place, since, found.comparison, excerpt)
                found.rollup_rows += compared
                if buckets or place in found.wrong:
                    wrong = found.wrong[place]
                    wrong.buckets = buckets
                    wrong.whole_from_us = max(time_us(since) + 1, whole_from_us.get(place, 0))
        found.took_s = time.monotonic() - started_s
        return found


async def _wanted(
    reader: LogReader, checkpoints: Mapping[Partition, int], starts: Mapping[Partition, int]
) -> dict[Partition, Range]:
    """What of the log each partition's rows have to be compared with."""
    wanted = {}
    for topic in sorted({place.topic for place in checkpoints}):
        ranges = await reader.ranges(topic)
        for place, end in checkpoints.items():
            if place.topic != topic:
                continue
            on_log = ranges.get(place.number, Range(0, 0))
            if end > on_log.end:
                raise OtherLogError(
                    f"the history holds {place} up to {end}, and the log ends at {on_log.end}: it is another log "
                    "(docs/runbooks.md, Broker lost)"
                )
            wanted[place] = Range(min(max(on_log.start, starts.get(place, 0)), end), end)
    return wanted


async def _summed_up_after(held: Snapshot, usage: Table, young_us: int) -> datetime:
    """From then on all rows are there that the rollups sum up: retention takes the oldest, and leaves the rollups."""
    young = EPOCH + timedelta(microseconds=young_us - 1)  # a bucket may begin just then
    oldest = await held.oldest(usage)
    return young if oldest is None else min(oldest, young)


@dataclass(slots=True)
class _PartitionProof:
    """One partition on its way through the proof: its records, and beside them its rows.

    All events of `whole_from_us` and later are on the log.
    """

    held: Snapshot
    table: Table
    place: Partition
    part: Range
    codec: Codec
    log: LogSettings
    found: HistoryFound
    young_us: int
    ahead_us: int
    excerpt: Excerpt | None
    whole_from_us: int = field(init=False, default=0)
    _columns: dict[str, str] = field(init=False)
    _rows: AsyncIterator[tuple[int, Document]] = field(init=False)
    _next: tuple[int, Document] | None = field(init=False, default=None)
    _refused: dict[int, bytes | None] = field(init=False, default_factory=dict)
    _oldest_us: int = field(init=False, default=0)
    _recent: Recent = field(init=False, default_factory=Recent)

    async def begin(self) -> None:
        """Before the first record."""
        number, start = self.place.number, self.part.start
        self._columns = {column.name: column.sql_type for column in self.table.columns}
        self._refused = await self.held.refused(self.place, start)
        oldest = await self.held.oldest(self.table)
        self._oldest_us = 0 if oldest is None else time_us(oldest)
        self.whole_from_us = FOR_EVER_US if start else 0
        if self.excerpt is None:
            self.found.before_log += await self.held.rows_below(self.table, number, start)
        self._rows = self.held.rows(self.table, number, start, self.excerpt)
        self._next = await anext(self._rows, None)

    async def take(self, records: Sequence[LogRecord]) -> None:
        """The next records of the log."""
        absent: dict[str, tuple[Document, bool]] = {}
        if self.whole_from_us == FOR_EVER_US:
            self.whole_from_us = records[0].timestamp * 1000 + self.ahead_us
        for record in records:
            row = row_of(self.place.topic, record, self.codec, self.log, self._columns)
            self._recent.tick(record)
            is_recent = row is not None and self._recent.has_met(row["event_id"])
            while self._next is not None and self._next[0] < record.offset:
                await self._held_next(None)
            if self._next is not None and self._next[0] == record.offset:
                await self._held_next(row)
            elif not self._is_asked(row, record):
                self._refused.pop(record.offset, None)
            elif row is None or self._refused.get(record.offset, b"") == record.value:
                self._judge_refused(record)
            elif row["event_id"] in absent:
                self._add_duplicate(record.offset, is_recent=is_recent)
            else:
                absent[row["event_id"]] = row, is_recent
        if absent:
            await self._judge_absent(absent)

    async def end(self) -> None:
        """No record is left: nothing else may be held."""
        while self._next is not None:
            await self._held_next(None)
        for offset in self._refused:
            self._add(f"refused {self.place.topic}", offset, {"offset": offset}, None)

    def _is_asked(self, row: Document | None, record: LogRecord) -> bool:
        """Whether a record belongs to the excerpt; one that is no event does by its own time, and is nobody's."""
        excerpt = self.excerpt
        if excerpt is None:
            return True
        if row is None:
            return excerpt.is_of_all and excerpt.happened(record.timestamp * 1000)
        return excerpt.holds(row)

    async def _held_next(self, told: Document | None) -> None:
        """Compare the next row with what the log says of its offset."""
        assert self._next is not None
        offset, held = self._next
        self._add(f"{self.place.topic} {month_of(held['occurred_at'])}", offset, held, told)
        self._next = await anext(self._rows, None)

    def _judge_refused(self, record: LogRecord) -> None:
        """A record that does not count, or that Postgres did not take, lies whole in a table of its own."""
        kept = {"value": record.value.hex() if record.value is not None else None}
        if record.offset not in self._refused:
            self._add(f"refused {self.place.topic}", record.offset, None, kept)
            return
        value = self._refused.pop(record.offset)
        held = {"value": value.hex() if value is not None else None}
        self._add(f"refused {self.place.topic}", record.offset, held, kept)

    async def _judge_absent(self, absent: Mapping[str, tuple[Document, bool]]) -> None:
        """An event without a row at its offset: it was written before, was deleted by retention, or is missing."""
        places = await self.held.places(self.table, list(absent))
        for event_id, (row, is_recent) in absent.items():
            number, offset = places.get(event_id, (self.place.number, row["log_offset"]))
            if number != self.place.number or offset < row["log_offset"]:
                may_be_recent = number == self.place.number and offset < self.part.start
                self._add_duplicate(row["log_offset"], is_recent=is_recent or may_be_recent)
            elif event_id not in places and row["occurred_at"] < min(self._oldest_us, self.young_us):
                self.found.deleted += 1
            else:
                self._add(f"{self.place.topic} {month_of(row['occurred_at'])}", row["log_offset"], None, row)

    def _add_duplicate(self, offset: int, *, is_recent: bool) -> None:
        self.found.duplicates += 1
        if not is_recent and self.place.topic in TOLD_BY_ID:
            self.found.counted_again += 1
            self.found.first_again = self.found.first_again or (self.place, offset)

    def _add(self, kind: str, offset: int, held: Document | None, told: Document | None) -> None:
        key = f"{kind}:{offset}"
        if held != told and len(self.found.comparison.differences) < MOST_NAMED:
            self.found.wrong[self.place].offsets.add(offset)
        self.found.comparison.add(
            str(self.place),
            {} if held is None else {key: encode(held)},
            {} if told is None else {key: encode(told)},
        )
