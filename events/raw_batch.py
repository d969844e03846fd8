"""Records into a producer's batch, whatever the bytes of their headers' names: what was read is put back as it was.

aiokafka's fast builder writes UTF-8 only, so a record with other names begins a batch of the builder that is written in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from events.header_names import Header, are_utf8
from events.producer import BATCH_BYTES

FORMAT, PLAIN, NOT_TRANSACTIONAL, UNKNOWN = 2, 0, 0, -1


def put(
    batch: Any,
    timestamp_ms: int | None,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[Header],
) -> bool:
    """Whether the batch had room for the record. When not, it is closed; an empty one takes every record."""
    names: list[Any] = list(headers)
    if headers and not are_utf8(headers):
        if batch.record_count():
            batch.close()
            return False
        batch.__class__ = _RawBatch
        batch._builder = _DefaultRecordBatchBuilderPy(  # noqa: SLF001 - the producer makes the fast one only
            FORMAT, PLAIN, NOT_TRANSACTIONAL, UNKNOWN, UNKNOWN, 0, BATCH_BYTES
        )
        names = [(_Name(name), content) for name, content in headers]
    return batch.append(timestamp=timestamp_ms, key=key, value=value, headers=names) is not None


class _Name(str):
    """A name that is written as it was read."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode("utf-8", "surrogateescape")


class _RawBatch(BatchBuilder):  # type: ignore[misc]
    """aiokafka's asserts that its builder is the fast one."""

    def _set_producer_state(self, *state: int) -> None:
        self._builder.set_producer_state(*state)
