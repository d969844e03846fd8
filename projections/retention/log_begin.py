"""The begin of the log: what each partition holds, and deleting records up to an offset where the broker can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from events.errors import LogUnavailableError
from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from projections.retention.selection import Span


async def held_by_log(settings: LogSettings, topics: Iterable[str]) -> dict[Partition, Span]:
    """What each partition of the topics holds now."""
    reader = LogReader(settings)
    return {
        Partition(topic, number): Span(held.start, held.end)
        for topic in topics
        for number, held in (await reader.ranges(topic)).items()
    }


async def can_be_cut(settings: LogSettings, place: Partition, span: Span) -> bool:
    """Whether the broker knows DeleteRecords: asked by deleting nothing."""
    try:
        await _delete(settings, place, span.start)
    except (KafkaError, TimeoutError, OSError):
        return False
    return True


async def cut(settings: LogSettings, place: Partition, before: int) -> None:
    """Have the records before that offset deleted; again does nothing."""
    try:
        await _delete(settings, place, before)
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailableError(f"the broker did not delete the records of {place}: {error!r}") from error


async def _delete(settings: LogSettings, place: Partition, before: int) -> None:
    async with _admin(settings) as admin:
        target = TopicPartition(settings.full_name(place.topic), place.number)
        await admin.delete_records({target: RecordsToDelete(before_offset=before)})


@asynccontextmanager
async def _admin(settings: LogSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap, request_timeout_ms=int(settings.request_timeout_s * 1000)
    )
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            await client.start()
            yield client
    finally:
        await client.close()
