"""Archived records read back as they lay on the log, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

from events.compiled_reader import wide
from events.header_names import Header, unspelled
from projections.archive.avro_file import AvroFile, Block, DamagedFileError
from projections.archive.encoding import framing_of

Headers = tuple[Header, ...]
EVENT_AT, NOTHING_AT = 2, 0


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """A record of the log out of the archive. `topic` is the short name."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def records_of(file: AvroFile) -> Iterator[ArchivedRecord]:
    """All records of a file in order; DamagedFileError where it is not what the archive writes."""
    try:
        topic, partition = file.facts["interlock.topic"], int(file.facts["interlock.partition"])
        framing = framing_of(int(file.facts["interlock.schema_id"]))
    except (KeyError, ValueError) as error:
        raise DamagedFileError(f"{file.name} does not say what it holds: {error!r}") from None
    for block in file.blocks():
        try:
            yield from _records(topic, partition, framing, block)
        except (ValueError, IndexError) as error:
            raise DamagedFileError(f"{file.name}: a record is damaged: {error!r}") from None


def in_order(parts: Sequence[Iterator[ArchivedRecord]]) -> Iterator[ArchivedRecord]:
    """The records of a segment's files by offset."""
    return parts[0] if len(parts) == 1 else merge(*parts, key=attrgetter("offset"))


def _records(topic: str, partition: int, framing: bytes, block: Block) -> Iterator[ArchivedRecord]:
    raw, at = block.content, 0
    for _ in range(block.count):
        offset, at = _long(raw, at)
        timestamp, at = _long(raw, at)
        length, at = _long(raw, at)
        key, at = _optional(raw, at)
        headers: Headers = ()
        if raw[at]:
            headers, at = _headers(raw, at)
        else:
            at += 1
        if raw[at] == EVENT_AT:
            end = at + 1 + length - len(framing)
            value: bytes | None = framing + raw[at + 1 : end]
            at = end
            if raw[at] != NOTHING_AT:
                raise ValueError(f"an event and a value at {at}")
            at += 1
        else:
            value, at = _optional(raw, at + 1)
        yield ArchivedRecord(topic, partition, offset, timestamp, key, value, headers)
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes follow the last record")


def _headers(raw: bytes, at: int) -> tuple[Headers, int]:
    found: list[Header] = []
    count, at = _long(raw, at)
    while count:
        for _ in range(count):
            length, at = _long(raw, at)
            name = unspelled(raw[at : at + length].decode())
            value, at = _optional(raw, at + length)
            found.append((name, value))
        count, at = _long(raw, at)
    return tuple(found), at


def _optional(raw: bytes, at: int) -> tuple[bytes | None, int]:
    if not raw[at]:
        return None, at + 1
    length, at = _long(raw, at + 1)
    end = at + length
    if length < 0 or end > len(raw):
        raise ValueError(f"it broke off at {at}")
    return raw[at:end], end


def _long(raw: bytes, at: int) -> tuple[int, int]:
    number = raw[at]
    if number > 0x7F:
        number, at = wide(raw, at, 64)
        return (number >> 1) ^ -(number & 1), at
    return (number >> 1) ^ -(number & 1), at + 1
