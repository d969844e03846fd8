"""The raw limit of seeing an outage: the same two hops over the log and the same push, with nothing in between.

What comes on the first topic is sent to the second, and what comes on that is published on a channel of Redis.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from events.settings import LogSettings
from processors.batching import LEAST_FETCH_WAIT_MS

CHANNEL = "bench:relay"
FIRST, SECOND = "usage", "outcomes"


async def relay(log: LogSettings, redis_url: str) -> None:
    """Relay until it is ended. Prints `ready` when both hops listen."""
    producer = AIOKafkaProducer(bootstrap_servers=log.bootstrap, acks="all", enable_idempotence=False)
    hops = [await _listen(log, topic) for topic in (FIRST, SECOND)]
    await producer.start()
    try:
        async with Redis.from_url(redis_url) as redis, asyncio.TaskGroup() as tasks:
            tasks.create_task(
                _hop(hops[0], lambda value: producer.send_and_wait(log.full_name(SECOND), value))
            )
            tasks.create_task(_hop(hops[1], lambda value: redis.publish(CHANNEL, value)))
            print("ready", flush=True)
    finally:
        await producer.stop()
        for hop in hops:
            await hop.stop()


async def _listen(log: LogSettings, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=log.bootstrap, group_id=None, fetch_max_wait_ms=LEAST_FETCH_WAIT_MS
    )
    await consumer.start()
    consumer.assign([TopicPartition(log.full_name(topic), number) for number in range(log.partitions)])
    return consumer


async def _hop(consumer: AIOKafkaConsumer, forward: Callable[[bytes], Awaitable[object]]) -> None:
    async for record in consumer:
        await forward(record.value)


if __name__ == "__main__":
    uvloop.run(relay(LogSettings.model_validate_json(sys.argv[1]), sys.argv[2]))
