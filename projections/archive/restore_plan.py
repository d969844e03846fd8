"""What a restore would put on the log, what the log holds of it already, and why it cannot be done, if so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from events.broker import partition_counts
from events.catalogue import DAY_MS, FOREVER_MS, TOPICS
from events.positions import Partition
from events.reader import LogReader, Range
from events.settings import LogSettings
from events.until import Until, UntilPositions, UntilTime
from projections.archive.avro_file import DamagedFileError
from projections.archive.chain import Chain, read_chain
from projections.archive.layout import places_in
from projections.archive.manifest import DamagedManifestError, Manifest
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.archive.source import offset_at
from projections.errors import ProjectionError

NAMED_FAULTS = 5


class CannotRestoreError(ProjectionError):
    """The archive does not make up a whole log, or the log has no room for it; the message says what of it."""


class BeginningGoneError(CannotRestoreError):
    """Retention has taken the beginning of the archive."""


class LogNotEmptyError(CannotRestoreError):
    """The log holds records that are none of the archive's first ones."""


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: the log is to hold its records [0, end), and holds `on_log` of them already.

    `archived_to` is where the archive ends. `log_bytes` are those of keys and values of all [0, end), about so where a
    segment is cut.
    """

    shelf: Shelf
    chain: Chain
    archived_to: int
    end: int
    on_log: int
    log_bytes: int

    @property
    def place(self) -> Partition:
        """The partition."""
        return self.shelf.place

    @property
    def records(self) -> int:
        """How many are to be appended."""
        return max(0, self.end - self.on_log)

    def segments(self, start: int, end: int) -> Iterator[Manifest]:
        """Those that have any of the offsets [start, end)."""
        return (one for one in self.chain.segments if one.next_offset > start and one.first_offset < end)


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What is to be done. `refusals` say why it cannot be; `lacks` is what the archive has not, or what the log will not
    keep, for whoever decides.

    `newest_ms` is the time of the newest record that the archive has, None when it has none.
    """

    parts: tuple[Part, ...]
    refusals: tuple[CannotRestoreError, ...]
    lacks: tuple[str, ...]
    newest_ms: int | None

    @property
    def records(self) -> int:
        """How many are to be appended, all together."""
        return sum(part.records for part in self.parts)


async def plan_restore(archive: ArchiveSettings, log: LogSettings, until: Until | None = None) -> RestorePlan:
    """Look at the manifests and at where the log's partitions begin and end. Nothing is changed.

    Raises CannotRestoreError when there is no folder, LogUnavailableError.
    """
    if archive.folder is None:
        raise CannotRestoreError("no folder of an archive: set INTERLOCK_ARCHIVE__FOLDER, or give --archive")
    folder = archive.folder
    try:
        sources = await asyncio.to_thread(_read_chains, folder)
    except DamagedManifestError as error:
        raise CannotRestoreError(str(error)) from error
    held = await _held(log)
    refusals = list(_beyond(sources, until))
    parts = []
    for shelf, chain in sources.values():
        if not chain.segments and not chain.findings:
            continue
        try:
            end = await asyncio.to_thread(_end_of, shelf, chain, until)
        except (DamagedFileError, DamagedManifestError) as error:
            refusals.append(CannotRestoreError(str(error)))
            continue
        on_log = held.get(shelf.place.topic, {}).get(shelf.place.number, Range(0, 0)).end
        parts.append(Part(shelf, chain, chain.next_offset, end, on_log, _bytes_below(chain, end)))
    refusals += faults(parts)
    refusals += _misfits(log, parts, held)
    times = [one.last_timestamp_ms for part in parts for one in part.chain.segments]
    lacks = (*_lacks(log, sources, held), *_outlived(parts, time.time_ns() // 1_000_000))
    return RestorePlan(tuple(parts), tuple(refusals), lacks, max(times, default=None))


Sources = Mapping[Partition, tuple[Shelf, Chain]]
Held = Mapping[str, Mapping[int, Range]]
"""What the log holds, by topic and partition; a topic that is not there yet is not in it."""


def _read_chains(folder: Path) -> Sources:
    shelves = [Shelf(folder, place) for place in places_in(folder)]
    return {shelf.place: (shelf, read_chain(shelf)) for shelf in shelves}


async def _held(log: LogSettings) -> Held:
    counts, reader = await partition_counts(log), LogReader(log)
    return {topic: await reader.ranges(topic) for topic in TOPICS if topic in counts}


def _end_of(shelf: Shelf, chain: Chain, until: Until | None) -> int:
    """Where the partition is cut. Waits for the disk."""
    match until:
        case None:
            return chain.next_offset
        case UntilPositions(vector):
            return min(vector.get(chain.place, chain.next_offset), chain.next_offset)
        case UntilTime():
            return offset_at(shelf, chain, until.after_ms)
        case _:
            assert_never(until)


def _bytes_below(chain: Chain, end: int) -> int:
    """Of keys and values; of a segment that is cut, in proportion."""
    total = 0.0
    for one in chain.segments:
        within = min(end, one.next_offset) - one.first_offset
        if within > 0:
            total += one.log_bytes * within / (one.next_offset - one.first_offset)
    return int(total)


def part_to(shelf: Shelf, end: int) -> Part:
    """What an archive has of a partition that is to end there, whatever a log holds. Waits for the disk."""
    chain = read_chain(shelf)
    return Part(shelf, chain, chain.next_offset, end, 0, _bytes_below(chain, end))


def _beyond(sources: Sources, until: Until | None) -> Iterator[CannotRestoreError]:
    """Positions that the archive does not reach."""
    if not isinstance(until, UntilPositions):
        return
    for place, offset in sorted(until.vector.items()):
        reached = sources[place][1].next_offset if place in sources else 0
        if offset > reached:
            yield CannotRestoreError(f"the archive of {place} ends at {reached}, before {offset}")


def faults(parts: Iterable[Part]) -> Iterator[CannotRestoreError]:
    """What is wrong with the archive below where it is cut, by its manifests alone."""
    parts = list(parts)
    findings = [one for part in parts for one in part.chain.findings if one.first_offset < max(part.end, 1)]
    if findings:
        named = "; ".join(f"{one.file}: {one.detail}" for one in findings[:NAMED_FAULTS])
        yield CannotRestoreError(
            f"{len(findings)} faults in the archive, see `interlock archive verify`: {named}"
        )
        return
    for part in parts:
        segments = list(part.segments(0, part.end))
        if segments and segments[0].first_offset:
            yield BeginningGoneError(
                f"the archive of {part.place} begins at {segments[0].first_offset}: retention took what was before, and "
                "without it all records would get other offsets"
            )
        for segment in segments:
            missing = segment.next_offset - segment.first_offset - segment.records
            if missing:
                yield CannotRestoreError(
                    f"of {part.place} the log itself lacked {missing} records between {segment.first_offset} and "
                    f"{segment.next_offset} (transactions or deletion), so later ones would get other offsets"
                )


def _misfits(log: LogSettings, parts: Iterable[Part], held: Held) -> Iterator[CannotRestoreError]:
    """Why the log cannot take it."""
    by_place = {part.place: part for part in parts}
    if unknown := sorted({place.topic for place in by_place} - TOPICS.keys()):
        yield CannotRestoreError(f"this release knows no topic {', '.join(unknown)}, and the archive has it")
    for topic in TOPICS:
        ranges = held.get(topic) or {number: Range(0, 0) for number in range(log.partitions)}
        wanted = {place.number for place in by_place if place.topic == topic}
        if absent := sorted(wanted - ranges.keys()):
            yield CannotRestoreError(
                f"{topic} has no partitions {absent}, and the archive does: create it with as many as it had "
                "(INTERLOCK_LOG__PARTITIONS)"
            )
        for number, there in sorted(ranges.items()):
            part = by_place.get(Partition(topic, number))
            end = part.end if part else 0
            if there.end > end or there.start:
                yield LogNotEmptyError(
                    f"{topic}-{number} at {log.bootstrap} holds the records {there.start} to before {there.end} already, and "
                    f"up to {end} are to be restored: an archive is restored into an empty log only"
                )


def _lacks(log: LogSettings, sources: Sources, held: Held) -> Iterator[str]:
    full = {place.topic for place, (_, chain) in sources.items() if chain.segments}
    if empty := [topic for topic in TOPICS if topic not in full]:
        yield f"nothing is archived of {', '.join(empty)}"
    for topic in TOPICS:
        known = max((place.number + 1 for place in sources if place.topic == topic), default=0)
        on_log = len(held.get(topic, ())) or log.partitions
        if 0 < known < on_log:
            yield (
                f"the archive knows {known} partitions of {topic}, and the log has {on_log}: if it had fewer then, keys lie "
                "elsewhere now"
            )


def _outlived(parts: Iterable[Part], now_ms: int) -> Iterator[str]:
    """Records keep their times: a broker with retention by time counts from those."""
    oldest: dict[str, int] = {}
    for part in parts:
        times = [one.first_timestamp_ms for one in part.segments(part.on_log, part.end)]
        if times:
            oldest[part.place.topic] = min(*times, oldest.get(part.place.topic, now_ms))
    for topic, oldest_ms in sorted(oldest.items()):
        if topic not in TOPICS:
            continue
        kept_ms = TOPICS[topic].retention_ms
        if kept_ms != FOREVER_MS and oldest_ms + kept_ms < now_ms:
            yield (
                f"{topic} is kept for {kept_ms // DAY_MS} days, and the archive has older records: the broker may delete them soon "
                "after they are restored, unless the topic's retention.ms is raised before"
            )
