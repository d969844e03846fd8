"""A producer's life: started as the broker can, judged by its errors, stopped for good."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosed,
    UnknownError,
    UnsupportedVersionError,
)

from events.errors import LogUnavailableError
from events.settings import LogSettings

BATCH_BYTES = 512 * 1024
STOP_WAIT_S = 2.0


async def open_producer(settings: LogSettings) -> AIOKafkaProducer:
    """A started producer, idempotent where the broker can. LogUnavailableError when no broker answers in time."""
    try:
        return await _start(settings, idempotent=settings.idempotent is not False)
    except (UnknownError, UnsupportedVersionError):
        if settings.idempotent:
            raise LogUnavailableError(
                "the broker has no idempotent producer: unset INTERLOCK_LOG__IDEMPOTENT"
            ) from None
    return await _start(settings, idempotent=False)


async def _start(settings: LogSettings, *, idempotent: bool) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        acks="all",
        enable_idempotence=idempotent,
        max_batch_size=BATCH_BYTES,
        request_timeout_ms=int(settings.request_timeout_s * 1000),
    )
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            await producer.start()
    except BaseException as error:
        await stop_producer(producer)
        if isinstance(error, (KafkaConnectionError, TimeoutError, OSError)):
            raise LogUnavailableError(f"no broker answers at {settings.bootstrap}: {error!r}") from error
        raise
    return producer


def is_final(error: BaseException) -> bool:
    """Whether the producer is done for, such as by a lost sequence number; a wait that ran out is no sign of it."""
    return isinstance(error, KafkaError) and not error.retriable and not isinstance(error, KafkaTimeoutError)


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer for good. While the broker is away its own stop would wait without end for what nobody awaits."""
    stopping = asyncio.create_task(producer.stop())
    await asyncio.wait([stopping], timeout=STOP_WAIT_S)
    if not stopping.done():
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - nothing public ends that wait
    try:
        await stopping
    except KeyError:
        # A batch was about to be sent again and is gone; then stop() does not come to this.
        await producer.client.close()
