"""Record batches made byte by byte, as clients may write them that aiokafka's producer is not: any header names, any damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

MOST_BYTES = 2**24
TIMEOUT_MS = 5_000
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class _Name(str):
    """A header name of any bytes, for the builder that is written in Python."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return super().encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Raw:
    """A record to be written. Bytes of a header's name that are not UTF-8 are surrogates, as in `os.fsdecode`."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int = 1_700_000_000_000


def batch_of(records: Sequence[Raw], codec: str = "none") -> bytearray:
    """A batch of format 2, as a produce request carries it. The builder leaves uncompressed what grows by it."""
    builder = _DefaultRecordBatchBuilderPy(2, CODECS[codec], 0, -1, -1, -1, MOST_BYTES)
    for number, record in enumerate(records):
        headers = [(_Name(name), value) for name, value in record.headers]
        builder.append(number, record.timestamp_ms, record.key, record.value, headers)
    return bytearray(builder.build())


async def produce(
    producer: AIOKafkaProducer, full_name: str, partition: int, batch: bytes | bytearray
) -> int:
    """Append a batch as it is, over the producer's connection; the offset of its first record."""
    await producer.partitions_for(full_name)
    leader = producer.client.cluster.leader_for_partition(TopicPartition(full_name, partition))
    request = ProduceRequest(None, -1, TIMEOUT_MS, [(full_name, [(partition, bytes(batch))])])
    [(_, [(_, error, offset, *_)])] = (await producer.client.send(leader, request)).topics
    if error:
        raise for_code(error)(f"{full_name}-{partition}")
    return int(offset)
