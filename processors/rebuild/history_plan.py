"""What a rebuild of the history has to read: from where to where, and what of it only the archive has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from events.catalogue import TOPICS
from events.positions import Partition
from events.reader import LogReader, Range
from processors.rebuild.errors import LogEndsEarlyError, LogStartGoneError, RebuildError

NOMINAL_RECORDS_PER_S = 8_000
"""Written and proved, on one core."""


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """How a rebuild of the history goes.

    `archive` is the folder of the log's archive. `shorter`: what can be read no more may be missing.
    """

    max_records_per_s: int | None = None
    skips_bad: bool = False
    anew: bool = False
    shorter: bool = False
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class HistoryPart:
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


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """`resumed`: it goes on with what an interrupted rebuild has built. `refusals`: why it cannot be carried out."""

    resumed: bool
    parts: tuple[HistoryPart, ...]
    records_per_s: int
    refusals: tuple[RebuildError, ...]

    @property
    def records(self) -> int:
        """How many are to be written, all together."""
        return sum(part.records for part in self.parts)

    @property
    def to_prove(self) -> int:
        """How many are compared with what was written, those of an interrupted rebuild among them."""
        return sum(max(0, part.end - part.readable_from) for part in self.parts)

    @property
    def estimated_s(self) -> float:
        """How long that may take."""
        return max(self.records, self.to_prove / 2) / max(1, self.records_per_s)


async def plan_history(
    options: HistoryOptions,
    log: LogReader,
    reader: LogReader,
    built: Mapping[Partition, int],
    live: Mapping[Partition, int],
) -> HistoryPlan:
    """From the positions of the schema that was begun to those of the live one; to the log's end where there is none.

    `reader` has the archive in front, if one was named.
    """
    parts = []
    for topic in TOPICS:
        on_log = await log.ranges(topic)
        readable = on_log if options.archive is None else await reader.ranges(topic)
        for number, held in sorted(on_log.items()):
            place = Partition(topic, number)
            first = readable.get(number, held).start
            parts.append(HistoryPart(place, built.get(place, 0), live.get(place, held.end), held, first))
    rate = min(NOMINAL_RECORDS_PER_S, options.max_records_per_s or NOMINAL_RECORDS_PER_S)
    refusals = (*_lost(parts, options), *_other_log(parts, live))
    return HistoryPlan(bool(built), tuple(parts), rate, refusals)


def start_gone(place: Partition, start: int, readable_from: int) -> LogStartGoneError:
    """Records that are to be written can no longer be read."""
    return LogStartGoneError(
        f"what can be read of {place} begins at {readable_from}, and {start} is next: name an archive that reaches back so far "
        "and up to where the log begins with --archive DIR, or leave out with --shorter what was before"
    )


def _lost(parts: list[HistoryPart], options: HistoryOptions) -> list[RebuildError]:
    return [
        start_gone(part.place, part.start, part.readable_from)
        for part in parts
        if part.lost and not options.shorter
    ]


def _other_log(parts: list[HistoryPart], live: Mapping[Partition, int]) -> list[RebuildError]:
    ends = {part.place: part.on_log.end for part in parts}
    begun = [
        f"the schema that was begun holds {part.place} up to {part.start}, and the log ends at {part.on_log.end}: it was begun "
        "from another log; begin again with --anew"
        for part in parts
        if part.start > part.on_log.end
    ]
    held = [
        f"the history holds {place} up to {reach}, and the log ends at {ends.get(place, 0)}: it is another log. Give it its log "
        "back (an archive restores it), or drop the schema to have another history"
        for place, reach in live.items()
        if reach > ends.get(place, 0)
    ]
    return [LogEndsEarlyError(why) for why in (*held, *begun)]
