"""The raw limit of appending: aiokafka's send of records that are encoded already, every acknowledgement awaited."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiokafka import AIOKafkaProducer

from bench.usage_records import usage_records
from events.codec import Codec
from events.producer import BATCH_BYTES
from events.registry import FolderRegistry
from events.settings import LogSettings

AT_ONCE = 5_000


async def produce(log: LogSettings, count: int) -> dict[str, float]:
    """Send so many records, `AT_ONCE` under way."""
    records = list(usage_records(Codec(FolderRegistry()), count, time.time_ns() // 1000))
    producer = AIOKafkaProducer(
        bootstrap_servers=log.bootstrap, acks="all", enable_idempotence=False, max_batch_size=BATCH_BYTES
    )
    await producer.start()
    try:
        topic = log.full_name("usage")
        await producer.send_and_wait(topic, key=records[0].key, value=records[0].value)
        cpu_s, wall_s = time.process_time(), time.monotonic()
        for start in range(0, count, AT_ONCE):
            under_way = [
                await producer.send(topic, key=record.key, value=record.value)
                for record in records[start : start + AT_ONCE]
            ]
            await asyncio.gather(*under_way)
        return {"events": count, "cpu_s": time.process_time() - cpu_s, "wall_s": time.monotonic() - wall_s}
    finally:
        await producer.stop()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(produce(LogSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))))
