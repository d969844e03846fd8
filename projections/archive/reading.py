"""A segment's records read back, after its files were proved to be the ones that were written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import aclosing

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from projections.archive.avro_file import AvroFile, DamagedFileError
from projections.archive.manifest import DataFile, Manifest
from projections.archive.records import ArchivedRecord, in_order, records_of
from projections.archive.shelf import Shelf


class MissingFileError(DamagedFileError):
    """A file that a manifest lists is not there."""


class TornFileError(DamagedFileError):
    """A file has not the length that its manifest says."""


def open_file(shelf: Shelf, file: DataFile) -> AvroFile:
    """A file of a segment; DamagedFileError names it when it is not there or not to the byte what was written."""
    path = shelf.folder / file.path
    name = str(path.relative_to(shelf.archive))
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{name} is missing") from None
    if len(raw) != file.bytes:
        raise TornFileError(f"{name} has {len(raw)} bytes, and its manifest says {file.bytes}")
    if hashlib.sha256(raw).hexdigest() != file.sha256:
        raise DamagedFileError(f"{name} was altered: its SHA-256 is not the one of its manifest")
    return AvroFile.of(name, raw)


async def read_log(reader: LogReader, place: Partition, wanted: Range) -> list[LogRecord]:
    """The records of a range that the log holds, to lay them beside the archive's."""
    found: list[LogRecord] = []
    async with aclosing(reader.read(place.topic, {place.number: wanted})) as batches:
        async for _, records in batches:
            found += records
    return found


def read_segment(shelf: Shelf, manifest: Manifest) -> Iterator[ArchivedRecord]:
    """All records of a segment by offset."""
    return in_order([records_of(open_file(shelf, file)) for file in manifest.files])
