"""One number for a run of records: equal digests, equal records, to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct

from events.header_names import bytes_of
from events.reader import LogRecord

_HEAD = Struct(">qqqqq")
_HEADER = Struct(">qq")
_ABSENT = -1


@dataclass(slots=True)
class RecordDigest:
    """SHA-256 over offset, time, key, value and headers of each record, each with its length; -1 for one that is absent."""

    records: int = 0
    next_offset: int = 0
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, records: Iterable[LogRecord]) -> None:
        """Records that follow those before."""
        pieces: list[bytes] = []
        count = 0
        for record in records:
            key, value, headers = record.key, record.value, record.headers
            pieces.append(
                _HEAD.pack(record.offset, record.timestamp, _length(key), _length(value), len(headers))
            )
            pieces += (key or b"", value or b"")
            for name, content in headers:
                raw = bytes_of(name)
                pieces.append(_HEADER.pack(len(raw), _length(content)))
                pieces += (raw, content or b"")
            count += 1
            self.next_offset = record.offset + 1
        self.records += count
        self._sha256.update(b"".join(pieces))

    @property
    def text(self) -> str:
        """In hexadecimal."""
        return self._sha256.hexdigest()


def _length(content: bytes | None) -> int:
    return _ABSENT if content is None else len(content)
