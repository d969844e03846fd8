"""The begin of the log: what each partition holds, and deleting records up to an offset where the broker can."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from events.broker import admin_of
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
        await cut(settings, place, span.start)
    except LogUnavailableError:
        return False
    return True


async def cut(settings: LogSettings, place: Partition, before: int) -> None:
    """Have the records before that offset deleted; again does nothing. LogUnavailableError."""
    async with admin_of(settings) as admin:
        target = TopicPartition(settings.full_name(place.topic), place.number)
        try:
            await admin.delete_records({target: RecordsToDelete(before_offset=before)})
        except KafkaError as error:
            raise LogUnavailableError(
                f"the broker did not delete the records of {place}: {error!r}"
            ) from error
