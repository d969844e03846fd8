"""The last record that a store has taken, so that the log it came from is told from another one with the same offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the record lies, and a digest of its time, key and value in hex."""

    offset: int
    digest: str

    def __str__(self) -> str:
        return f"{self.offset}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what `str` made of it."""
        offset, _, digest = text.partition(":")
        return cls(int(offset), digest)


def tip_of(record: LogRecord) -> Tip:
    """What a store keeps of the last record of a batch."""
    digest = hashlib.blake2b(record.timestamp.to_bytes(8, "big", signed=True), digest_size=DIGEST_BYTES)
    for part in (record.key, record.value):
        digest.update((-1 if part is None else len(part)).to_bytes(8, "big", signed=True))
        digest.update(part or b"")
    return Tip(record.offset, digest.hexdigest())


def is_elsewhere(tip: Tip | None, records: Sequence[LogRecord]) -> bool:
    """Whether consecutive records are of another log: they reach over the tip, and have another record in its place."""
    if tip is None or not records[0].offset <= tip.offset <= records[-1].offset:
        return False
    there = next((record for record in records if record.offset == tip.offset), None)
    return there is not None and tip_of(there) != tip


async def tip_at(reader: LogReader, place: Partition, offset: int) -> Tip | None:
    """The same of the record that lies there now; None when the log does not hold it any more."""
    only = {place.number: Range(offset, offset + 1)}
    async with aclosing(reader.read(place.topic, only)) as batches:
        async for _, records in batches:
            return tip_of(records[0])
    return None
