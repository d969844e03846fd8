"""The last record that a store has taken, so that the log it came from is told from another one with the same offsets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from events.reader import LogRecord

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the record lies, and a digest of its time, key and value in hex."""

    offset: int
    digest: str


def tip_of(record: LogRecord) -> Tip:
    """What a store keeps of the last record of a batch."""
    digest = hashlib.blake2b(record.timestamp.to_bytes(8, "big", signed=True), digest_size=DIGEST_BYTES)
    for part in (record.key, record.value):
        digest.update((-1 if part is None else len(part)).to_bytes(8, "big", signed=True))
        digest.update(part or b"")
    return Tip(record.offset, digest.hexdigest())
