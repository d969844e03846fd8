"""The log, read back by other code: plain aiokafka and fastavro, with the schemas as they lie in `schemas/`.

Imports nothing of the product on purpose: what it reads is evidence against it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
from aiokafka import AIOKafkaConsumer
from fastavro.schema import fingerprint, to_parsing_canonical_form

READ_WITHIN_S = 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """One record of the log, its value as plain dicts, lists, strings and integers (times in microseconds)."""

    partition: int
    offset: int
    headers: dict[str, bytes]
    value: dict[str, Any]


async def read_log(
    bootstrap: str, topic_prefix: str, topics: tuple[str, ...], schemas: Path
) -> dict[str, list[Kept]]:
    """All records of the topics up to their ends of now, by short topic name, each partition in its order."""
    writers = {_schema_id(definition): definition for definition in _definitions(schemas)}
    consumer = AIOKafkaConsumer(
        *(topic_prefix + topic for topic in topics),
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=1_000,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            records = await _read(consumer)
    finally:
        await consumer.stop()
    found: dict[str, list[Kept]] = {topic: [] for topic in topics}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        kept = Kept(record.partition, record.offset, dict(record.headers), _decode(writers, record.value))
        found[record.topic.removeprefix(topic_prefix)].append(kept)
    return found


async def _read(consumer: AIOKafkaConsumer) -> list[Any]:
    """Every record of every partition, up to the high watermark that comes with the fetches."""
    ends = await consumer.end_offsets(consumer.assignment())
    left = {place for place, end in ends.items() if end > 0}
    records: list[Any] = []
    while left:
        for place, batch in (await consumer.getmany(*left, timeout_ms=1_000)).items():
            records += batch
            if batch and batch[-1].offset + 1 >= consumer.highwater(place):
                left.discard(place)
    return records


def _definitions(schemas: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(schemas.glob("*/v*.avsc"))]


def _schema_id(definition: Any) -> int:
    """Without a registry, a schema's id is the first 31 bits of the SHA-256 of its canonical form."""
    return int(fingerprint(to_parsing_canonical_form(definition), "SHA-256")[:8], 16) & 0x7FFF_FFFF


def _decode(writers: dict[int, Any], raw: bytes) -> dict[str, Any]:
    """A record in the Confluent wire format: a zero byte, the schema's id in four, then Avro."""
    if raw[0] != 0:
        raise ValueError(f"a record begins with {raw[:5].hex()}, not with a zero byte and a schema id")
    schema = writers[int.from_bytes(raw[1:5], "big")]
    value = fastavro.schemaless_reader(BytesIO(raw[5:]), schema, None)
    plain: dict[str, Any] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1)
    return str(value) if isinstance(value, UUID) else value
