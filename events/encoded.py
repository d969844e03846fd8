"""A record on its way to the log."""

from __future__ import annotations

from typing import NamedTuple

from events.header_names import Header


class Encoded(NamedTuple):
    """One record to append, already in bytes. `topic` is the short name; without a timestamp it gets the clock's."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int | None = None
    headers: tuple[Header, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its key, value and headers."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers) if self.headers else 0
        return len(self.key) + len(self.value) + headers
