"""Whether the archive is what was written: every file to the byte, every record, and the chain of the manifests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from events.positions import Partition
from projections.archive.avro_file import DamagedFileError
from projections.archive.chain import Chain, Fault, Finding, read_chain
from projections.archive.layout import places_in
from projections.archive.manifest import DataFile, Manifest
from projections.archive.reading import MissingFileError, TornFileError, open_file
from projections.archive.records import records_of
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.errors import SinkUnavailableError


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at in a partition, and what is wrong there."""

    place: Partition
    next_offset: int
    segments: int
    records: int
    bytes: int
    findings: tuple[Finding, ...]


async def verify(settings: ArchiveSettings, progress: Callable[[int, int], None]) -> list[Verified]:
    """Read all of the archive. `progress` gets how many segments were looked at, and of how many."""
    if settings.folder is None:
        raise SinkUnavailableError("no folder of an archive: set INTERLOCK_ARCHIVE__FOLDER")
    shelves = [Shelf(settings.folder, place) for place in places_in(settings.folder)]
    chains = await asyncio.to_thread(lambda: [read_chain(shelf) for shelf in shelves])
    of, done, verified = sum(len(chain.segments) for chain in chains), 0, []
    for shelf, chain in zip(shelves, chains, strict=True):
        findings = list(chain.findings)
        for segment in chain.segments:
            findings += await asyncio.to_thread(lambda at, one: list(damage_of(at, one)), shelf, segment)
            done += 1
            progress(done, of)
        verified.append(_verified(chain, tuple(sorted(findings, key=lambda one: one.first_offset))))
    return verified


def _verified(chain: Chain, findings: tuple[Finding, ...]) -> Verified:
    return Verified(
        chain.place,
        chain.next_offset,
        len(chain.segments),
        sum(segment.records for segment in chain.segments),
        sum(segment.size for segment in chain.segments),
        findings,
    )


def damage_of(shelf: Shelf, segment: Manifest) -> Iterator[Finding]:
    """What is wrong with the files of a segment."""
    offsets: list[int] = []
    broken = False
    for file in segment.files:
        try:
            read = open_file(shelf, file)
            content = b"".join(block.content for block in read.blocks())
            check_content(segment, file, content)
            offsets += [record.offset for record in records_of(read)]
        except DamagedFileError as error:
            broken = True
            yield _finding(shelf, segment, file, _FAULTS.get(type(error), Fault.ALTERED), str(error))
    if broken:
        return
    within = all(segment.first_offset <= offset < segment.next_offset for offset in offsets)
    if len(offsets) != segment.records or len(set(offsets)) != len(offsets) or not within:
        detail = f"{len(offsets)} records, and the manifest says {segment.records} in its offsets"
        yield _finding(shelf, segment, segment.files[0], Fault.ALTERED, detail)


def check_content(segment: Manifest, file: DataFile, content: bytes) -> None:
    """The encoded records are those that the manifest tells of, and the manifests that it replaces told of."""
    if hashlib.sha256(content).hexdigest() != file.content_sha256:
        raise DamagedFileError(f"{file.path} holds other records than its manifest says")
    at = 0
    for leaf in segment.leaves:
        for one in leaf.files:
            if (one.part, one.schema_id) != (file.part, file.schema_id):
                continue
            if hashlib.sha256(content[at : at + one.content_bytes]).hexdigest() != one.content_sha256:
                raise DamagedFileError(
                    f"{file.path} holds other records than those of the segment at {leaf.first_offset} that it replaces"
                )
            at += one.content_bytes
    if at != len(content):
        raise DamagedFileError(f"{file.path} holds more records than the segments that it replaces")


def _finding(shelf: Shelf, segment: Manifest, file: DataFile, fault: Fault, detail: str) -> Finding:
    name = str((shelf.folder / file.path).relative_to(shelf.archive))
    return Finding(shelf.place, fault, name, segment.first_offset, segment.next_offset, detail)


_FAULTS: dict[type[DamagedFileError], Fault] = {MissingFileError: Fault.MISSING, TornFileError: Fault.TORN}
