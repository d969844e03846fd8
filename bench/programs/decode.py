"""The raw limit of folding: aiokafka's getmany and fastavro's reading of each record, and nothing else."""

from __future__ import annotations

import json
import sys
import time
from io import BytesIO

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastavro import schemaless_reader

from events.catalogue import TOPICS
from events.codec import HEADER_BYTES
from events.registry import FolderRegistry
from events.settings import LogSettings
from processors.batching import MOST_FETCH_WAIT_MS

MAX_RECORDS = 5_000


async def decode(log: LogSettings) -> dict[str, float]:
    """Read the usage topic to its end; measured from the first fetch that brought something to the last."""
    schema = FolderRegistry().newest(TOPICS["usage"])[1].plain
    consumer = AIOKafkaConsumer(
        bootstrap_servers=log.bootstrap,
        group_id=None,
        fetch_max_wait_ms=MOST_FETCH_WAIT_MS,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        places = [TopicPartition(log.full_name("usage"), number) for number in range(log.partitions)]
        consumer.assign(places)
        left = sum((await consumer.end_offsets(places)).values())
        first = await consumer.getmany(timeout_ms=10_000, max_records=MAX_RECORDS)
        left -= sum(len(records) for records in first.values())
        events, cpu_s, wall_s = left, time.process_time(), time.monotonic()
        while left > 0:
            fetched = await consumer.getmany(timeout_ms=1_000, max_records=MAX_RECORDS)
            for records in fetched.values():
                left -= len(records)
                for record in records:
                    stream = BytesIO(record.value)
                    stream.seek(HEADER_BYTES)
                    schemaless_reader(stream, schema, None)
        return {"events": events, "cpu_s": time.process_time() - cpu_s, "wall_s": time.monotonic() - wall_s}
    finally:
        await consumer.stop()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(decode(LogSettings.model_validate_json(sys.argv[1])))))
