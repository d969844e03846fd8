"""Stopping a consumer for good, whatever its broker does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

STOP_WITHIN_S = 2.0


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close the connections; return within STOP_WITHIN_S also when nobody answers.

    aiokafka's own stop ends with a CancelledError when a fetch waits to be tried again: taken for the caller's own
    cancellation, it would end the caller without a word.
    """
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping], timeout=STOP_WITHIN_S)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(STOP_WITHIN_S):
            await consumer._client.close()  # noqa: SLF001 - the stop would have come to this
