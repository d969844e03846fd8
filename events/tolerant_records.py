"""A consumer that one record cannot stop.

aiokafka gives up a partition at a header whose name is not UTF-8, although brokers take any bytes there. Here the batch that it
cannot read is read again from its bytes, in Python, by rules that differ in that alone. It happens after its own fast reader
has failed, so batches without such names cost what they cost before.

A batch that a fetch leaves out is waited for (events/batch_holes.py).

At a batch that is damaged its partition stands still and is tried again now and then; aiokafka would raise instead, and drop
what the same call had taken of other partitions.

aiokafka has no place for this, so three names are replaced that its fetcher looks up in its module. A test fails when a
release of it no longer does.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition, codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from events.batch_holes import FORMAT, HEADER_BYTES, LAST_OFFSET_AT, LENGTH_AT, Missing
from events.compiled_reader import wide
from events.header_names import Header, name_of

COUNT_AT = 57
NO_VALUE = -1
AGAIN_AFTER_S = 5.0

_log = structlog.get_logger(__name__)
_INT, _LONG = struct.Struct(">i"), struct.Struct(">q")
_DECODE: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A record of a batch, with the attributes that aiokafka's has."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    checksum: None = None


def records_of(raw: bytes) -> Iterator[BatchRecord]:
    """The records of a batch of format 2. ValueError or IndexError where it is damaged, else what its codec raises."""
    batch = DefaultRecordBatch(raw)
    if batch.magic != FORMAT or not batch.validate_crc():
        raise ValueError("its checksum is wrong")
    body = _DECODE[batch.compression_type](raw[HEADER_BYTES:])
    at = 0
    for _ in range(_INT.unpack_from(raw, COUNT_AT)[0]):
        length, at = _number(body, at)
        delta_ms, begin = _number(body, at + 1)
        delta, begin = _number(body, begin)
        key, begin = _optional(body, begin)
        value, begin = _optional(body, begin)
        headers, end = _headers(body, begin)
        if end != at + length or end > len(body):
            raise ValueError(f"a record of {length} bytes ends after {end - at}")
        at = end
        time_ms = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + delta_ms
        yield BatchRecord(batch.base_offset + delta, time_ms, batch.timestamp_type, key, value, headers)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes follow its last record")


def _headers(raw: bytes, at: int) -> tuple[list[Header], int]:
    count, at = _number(raw, at)
    if count < 0:
        raise ValueError(f"{count} headers")
    found: list[Header] = []
    for _ in range(count):
        name, at = _optional(raw, at)
        if name is None:
            raise ValueError("a header without a name")
        value, at = _optional(raw, at)
        found.append((name_of(name), value))
    return found, at


def _optional(raw: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _number(raw, at)
    if length <= NO_VALUE:
        return None, at
    if at + length > len(raw):
        raise ValueError(f"{length} bytes at {at} of {len(raw)}")
    return raw[at : at + length], at + length


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A varint in zigzag, as Avro has it."""
    number, at = wide(raw, at, 64) if raw[at] > 0x7F else (raw[at], at + 1)
    return (number >> 1) ^ -(number & 1), at


class _Fetched(fetcher.MemoryRecords):  # type: ignore[misc]
    """What a fetch brought of a partition; the bytes stay at hand."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a partition: aiokafka's own, and what it cannot read read again."""

    next_fetch_offset: int
    _records: Any
    _records_iterator: Iterator[Any]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._began, self._at, self._reads_again = self.next_fetch_offset, 0, False

    def __next__(self) -> Any:
        while True:
            try:
                return next(self._records_iterator)
            except StopIteration:
                if not self._reads_again:
                    raise
                # aiokafka's reader stands behind that batch since it failed.
                self._records_iterator, self._reads_again = self._unpack_records(), False
            except Exception as error:  # noqa: BLE001 - each way of reading has errors of its own
                if self._reads_again:
                    self._end_at(error)
                self._records_iterator, self._reads_again = self._batch_again(), True

    @property
    def raw(self) -> bytes:
        """The bytes of what was fetched."""
        raw: bytes = self._records.raw
        return raw

    def shorten(self, raw: bytes) -> None:
        """Read no more than these first bytes of it; called before it is read."""
        if len(raw) < len(self._records.raw):
            self._records = _Fetched(raw)

    def _batch_again(self) -> Iterator[Any]:
        batch, self._at = _batch_holding(self.next_fetch_offset, self._records.raw, self._at)
        for record in records_of(batch):
            if record.offset >= self.next_fetch_offset:
                told = self._consumer_record(self._tp, record)
                self.next_fetch_offset = record.offset + 1
                yield told
        self.next_fetch_offset = _end_of(batch)

    def _end_at(self, error: Exception) -> NoReturn:
        """Nothing can be read any more. What came before is given out first; then it is met again as the first."""
        self._records_iterator, self._reads_again = iter(()), False
        if self.next_fetch_offset > self._began:
            raise StopIteration
        raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CorruptRecordException:
        return CorruptRecordException(
            f"{self._tp.topic}-{self._tp.partition}: the batch at offset {self.next_fetch_offset} is damaged ({error!r}). The "
            f"partition is read no further until the broker has it whole, as from a replica, or has deleted the records up to it"
        )


def _batch_holding(offset: int, raw: bytes, at: int) -> tuple[bytes, int]:
    """The first batch from `at` on that does not end before an offset, and where it ends in `raw`."""
    while at + HEADER_BYTES <= len(raw):
        (length,) = _INT.unpack_from(raw, at + LENGTH_AT)
        begin, at = at, at + LENGTH_AT + _INT.size + length
        if at < begin + HEADER_BYTES or at > len(raw):
            break
        if _end_of(batch := raw[begin:at]) > offset:
            return batch, at
    raise ValueError("its length is wrong")


def _end_of(batch: bytes) -> int:
    (base,), (last,) = _LONG.unpack_from(batch), _INT.unpack_from(batch, LAST_OFFSET_AT)
    return int(base + last + 1)


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """The records of a partition on their way to who asks; kept, and so not fetched again, while it stands still."""

    damage: str | None = None
    _again_at_s = 0.0

    def __init__(self, place: TopicPartition, **given: Any) -> None:
        super().__init__(place, **given)
        state, found = given["assignment"].state_value(place), given["partition_records"]
        missing = vars(state).setdefault("missing", Missing())
        found.shorten(missing.whole(found.raw, found.next_fetch_offset))

    def getall(self, max_records: int | None = None) -> list[Any]:
        """What is there; nothing of a partition that stands still."""
        if self.damage is not None:
            if self.check_assignment(self._topic_partition) and time.monotonic() > self._again_at_s:
                self._partition_records = None
            return []
        try:
            found: list[Any] = super().getall(max_records)
        except CorruptRecordException as error:
            self.damage, self._again_at_s = str(error), time.monotonic() + AGAIN_AFTER_S
            _log.error(
                "a partition stands still, the others go on", why=self.damage, again_after_s=AGAIN_AFTER_S
            )
            return []
        return found


class TolerantConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """The consumer of all that reads the log. Bytes of header names that are not UTF-8 are surrogates."""

    @property
    def damage(self) -> str | None:
        """What is wrong with a partition that stands still, and what to do; None when none does."""
        held = self._fetcher._records.values()  # noqa: SLF001 - what was fetched and not given out
        return next((one.damage for one in held if isinstance(one, _FetchResult) and one.damage), None)


fetcher.MemoryRecords = _Fetched
fetcher.PartitionRecords = _PartitionRecords
fetcher.FetchResult = _FetchResult
