"""A batch that a fetch leaves out though it is on the log: what lies above it waits until it shows.

While several producers append, a broker may show a batch before the one below it. Who took it and read on would never get the
other. So a fetch ends where a batch is missing, and the next one begins there. What is still missing after a while is gone.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

GONE_AFTER_S = 0.25
OFFSET, LENGTH_AT, MAGIC_AT, LAST_OFFSET_AT, HEADER_BYTES = struct.Struct(">q"), 8, 16, 23, 61
"""Where they stand in a batch of format 2 (KIP-98); its length counts from behind itself."""
_INT = struct.Struct(">i")
FORMAT = 2


def whole_until(raw: bytes, offset: int) -> tuple[int, int | None]:
    """How many bytes hold batches that follow on one another from an offset; the first offset of the next batch, if there is one.

    Bytes that are no batch of format 2 are for the reader to judge: nothing is missing before them.
    """
    at, expected = 0, offset
    while at + HEADER_BYTES <= len(raw) and raw[at + MAGIC_AT] == FORMAT:
        (base,) = OFFSET.unpack_from(raw, at)
        if base > expected:
            return (at if expected > offset else 0), base
        (length,), (last,) = _INT.unpack_from(raw, at + LENGTH_AT), _INT.unpack_from(raw, at + LAST_OFFSET_AT)
        expected = max(expected, base + last + 1)
        begin, at = at, at + LENGTH_AT + _INT.size + length
        if at < begin + HEADER_BYTES:
            break
    return len(raw), None


@dataclass(slots=True)
class Missing:
    """The offset that a partition's fetches leave out, and since when."""

    offset: int = -1
    since_s: float = 0.0

    def whole(self, raw: bytes, offset: int) -> bytes:
        """What of a fetch from an offset on may be given out; nothing while its beginning is waited for."""
        end, found = whole_until(raw, offset)
        if found is None:
            return raw
        if end:
            return raw[:end]
        now_s = time.monotonic()
        if self.offset != offset:
            self.offset, self.since_s = offset, now_s
        if now_s - self.since_s < GONE_AFTER_S:
            return b""
        end, _ = whole_until(raw, found)
        return raw[:end]
