"""What a rebuild of a store has to read: from where to where, and what of it only the archive has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from events.positions import Partition
from events.reader import LogReader, Range
from processors.rebuild.errors import LogStartGoneError, RebuildError


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a rebuild of a store goes.

    `archive` is the folder of the log's archive. `shorter`: what can be read no more may be missing.
    """

    max_records_per_s: int | None = None
    skips_bad: bool = False
    anew: bool = False
    shorter: bool = False
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class StorePart:
    """Records [start, end) of one partition. `on_log` is what the log has of it; what can be read begins at `readable_from`."""

    place: Partition
    start: int
    end: int
    on_log: Range
    readable_from: int

    @property
    def lost(self) -> int:
        """How many cannot be read."""
        return max(0, min(self.readable_from, self.end) - self.start)

    @property
    def from_archive(self) -> int:
        """How many only the archive has."""
        return max(0, min(self.on_log.start, self.end) - max(self.start, self.readable_from))

    @property
    def records(self) -> int:
        """How many are to be written."""
        return max(0, self.end - max(self.start, self.readable_from))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPlan:
    """What is read of the log, and how fast. `refusals`: why it cannot be carried out."""

    parts: tuple[StorePart, ...]
    records_per_s: int
    refusals: tuple[RebuildError, ...]

    @property
    def records(self) -> int:
        """How many are to be read, all together."""
        return sum(part.records for part in self.parts)

    @property
    def estimated_s(self) -> float:
        """How long that may take."""
        return self.records / max(1, self.records_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlan(ReadingPlan):
    """Of a rebuild. `resumed`: it goes on with what an interrupted one has built."""

    resumed: bool

    @property
    def to_prove(self) -> int:
        """How many are compared with what was written, those of an interrupted rebuild among them."""
        return sum(max(0, part.end - part.readable_from) for part in self.parts)

    @property
    def estimated_s(self) -> float:
        """What is proved is not written, and goes twice as fast."""
        return max(self.records, self.to_prove / 2) / max(1, self.records_per_s)

    @property
    def ends(self) -> dict[Partition, int]:
        """Up to where each partition is written."""
        return {part.place: part.end for part in self.parts}


async def parts_of_store(
    topics: Iterable[str],
    log: LogReader,
    reader: LogReader,
    built: Mapping[Partition, int],
    ends: Mapping[Partition, int],
) -> list[StorePart]:
    """From the positions of what was begun to these ends; to the log's where none is named.

    `reader` has the archive in front, if one was named.
    """
    parts = []
    for topic in topics:
        on_log = await log.ranges(topic)
        readable = on_log if reader is log else await reader.ranges(topic)
        for number, held in sorted(on_log.items()):
            place = Partition(topic, number)
            first = readable.get(number, held).start
            parts.append(StorePart(place, built.get(place, 0), ends.get(place, held.end), held, first))
    return parts


def plan_store(
    options: StoreOptions,
    parts: Sequence[StorePart],
    nominal_records_per_s: int,
    *,
    resumed: bool,
    refusals: Iterable[RebuildError],
) -> StorePlan:
    """What would be done; the records that nobody has any more forbid it first, unless they may be missing."""
    lost = [] if options.shorter else [part for part in parts if part.lost]
    gone = [start_gone(part.place, part.start, part.readable_from) for part in lost]
    rate = min(nominal_records_per_s, options.max_records_per_s or nominal_records_per_s)
    return StorePlan(resumed=resumed, parts=tuple(parts), records_per_s=rate, refusals=(*gone, *refusals))


def start_gone(place: Partition, start: int, readable_from: int) -> LogStartGoneError:
    """Records that are to be written can no longer be read."""
    return LogStartGoneError(
        f"what can be read of {place} begins at {readable_from}, and {start} is next: name an archive that reaches back so far "
        "and up to where the log begins with --archive DIR, or leave out with --shorter what was before"
    )


async def records_behind(
    log: LogReader, topics: Iterable[str], held: Mapping[Partition, int], what: str, command: str
) -> int:
    """How many records of the log a store lacks. LogStartGoneError when the log no longer has the first of them."""
    behind = 0
    for topic in topics:
        for number, on_log in (await log.ranges(topic)).items():
            place = Partition(topic, number)
            at = held.get(place, 0)
            if at < on_log.start:
                raise LogStartGoneError(
                    f"{what} holds {place} up to {at}, and the log begins at {on_log.start} by now: what lies between would "
                    f"be missing. Rebuild it: `{command} --archive DIR`"
                )
            behind += max(0, on_log.end - at)
    return behind
