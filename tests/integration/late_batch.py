"""A broker that once shows a batch later than the one above it, as the embedded one does now and then."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher

from events.batch_holes import HEADER_BYTES, LENGTH_AT, OFFSET


class LateBatch:
    """Takes the second of three batches out of one fetch."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.left_out: int | None = None
        records_in = fetcher.MemoryRecords
        patched.setattr(fetcher, "MemoryRecords", lambda raw: records_in(self._without(raw)))

    def _without(self, raw: bytes) -> bytes:
        begins = [0]
        while self.left_out is None and len(raw) > begins[-1] + HEADER_BYTES:
            length = int.from_bytes(raw[begins[-1] + LENGTH_AT : begins[-1] + LENGTH_AT + 4], "big")
            begins.append(begins[-1] + LENGTH_AT + 4 + length)
        if len(begins) < 4 or begins[3] > len(raw):
            return raw
        (self.left_out,) = OFFSET.unpack_from(raw, begins[1])
        return raw[: begins[1]] + raw[begins[2] :]
