"""The broker's topics: creation of what the catalogue lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from events.catalogue import TOPICS, Topic
from events.errors import EventsError, LogUnavailableError
from events.settings import LogSettings

BATCH_OVERHEAD_BYTES = 64 * 2**10
POLL_S = 0.05


class TopicMismatchError(EventsError):
    """A topic exists with another number of partitions than its co-partitioned group needs."""


class TopicRefusedError(EventsError):
    """The broker does not create a topic as the settings want it."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the catalogue as the broker has it; `created` when this call made it."""

    name: str
    full_name: str
    partitions: int
    created: bool


async def create_topics(settings: LogSettings) -> list[TopicState]:
    """Create what is missing of the catalogue; what is there already stays as it is.

    Raises TopicMismatchError when a topic exists with another partition count than `log.partitions`: keys would lie in
    other partitions than those of its group, and changing the count is a migration to new topics. Then none is created.
    """
    async with admin_of(settings) as admin:
        before = await _partitions(admin)
        _check(before, settings)
        missing = [topic for topic in TOPICS.values() if settings.full_name(topic.name) not in before]
        if missing:
            await _create(admin, settings, missing)
        after = await _partitions(admin)
        while not after.keys() >= {settings.full_name(topic.name) for topic in missing}:
            await asyncio.sleep(POLL_S)
            after = await _partitions(admin)
        # Another process may have created them at the same time, from other settings.
        _check(after, settings)
    return [
        TopicState(topic.name, settings.full_name(topic.name), settings.partitions, topic in missing)
        for topic in TOPICS.values()
    ]


async def missing_topics(settings: LogSettings) -> list[str]:
    """Short names of what the broker lacks of the catalogue. TopicMismatchError as `create_topics`; nothing is created."""
    async with admin_of(settings) as admin:
        existing = await _partitions(admin)
    _check(existing, settings)
    return [name for name in TOPICS if settings.full_name(name) not in existing]


async def partition_counts(settings: LogSettings) -> dict[str, int]:
    """Number of partitions of each topic of the catalogue that is there, by its short name. Nothing is created."""
    async with admin_of(settings) as admin:
        found = await _partitions(admin)
    return {name: found[full] for name in TOPICS if (full := settings.full_name(name)) in found}


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Number of partitions of every topic. Asked without names: naming a topic may create it."""
    return {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics()}


def _check(existing: Mapping[str, int], settings: LogSettings) -> None:
    for topic in TOPICS.values():
        full_name = settings.full_name(topic.name)
        partitions = existing.get(full_name, settings.partitions)
        if partitions != settings.partitions:
            raise TopicMismatchError(
                f"{full_name} has {partitions} partitions and the settings say {settings.partitions}: "
                f"set INTERLOCK_LOG__PARTITIONS={partitions}, or carry all into other topics: `interlock migrate run --partitions N`"
            )


async def _create(admin: AIOKafkaAdminClient, settings: LogSettings, topics: list[Topic]) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                settings.full_name(topic.name),
                settings.partitions,
                settings.replication_factor,
                topic_configs={
                    "retention.ms": str(topic.retention_ms),
                    "cleanup.policy": "delete",
                    "max.message.bytes": str(settings.max_event_bytes + BATCH_OVERHEAD_BYTES),
                },
            )
            for topic in topics
        ]
    )
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            reason = f"the broker does not create {name}: {error.__name__} {' '.join(filter(None, rest))}"
            raise LogUnavailableError(reason) if error.retriable else TopicRefusedError(reason)


@asynccontextmanager
async def admin_of(settings: LogSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client for the time of one question, which may take `request_timeout_s` in all."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap, request_timeout_ms=int(settings.request_timeout_s * 1000)
    )
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            await client.start()
            yield client
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailableError(f"no broker answers at {settings.bootstrap}: {error!r}") from error
    finally:
        await client.close()
