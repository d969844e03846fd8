"""The broker's topics: creation of what the catalogue lists."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from events.catalogue import TOPICS, Topic
from events.errors import EventsError, LogUnavailableError
from events.settings import LogSettings


class TopicMismatchError(EventsError):
    """A topic exists with another number of partitions than its co-partitioned group needs."""


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
    other partitions than those of its group, and changing the count is a migration to new topics.
    """
    async with _admin(settings) as admin:
        existing = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics()}
        states = []
        for topic in TOPICS.values():
            full_name = settings.full_name(topic.name)
            missing = full_name not in existing
            if missing:
                await _create(admin, settings, topic)
            partitions = settings.partitions if missing else existing[full_name]
            if partitions != settings.partitions:
                raise TopicMismatchError(
                    f"{full_name} has {partitions} partitions and the settings say {settings.partitions}: "
                    f"set INTERLOCK_LOG__PARTITIONS={partitions}, or migrate to new topics"
                )
            states.append(TopicState(topic.name, full_name, partitions, missing))
        return states


async def _create(admin: AIOKafkaAdminClient, settings: LogSettings, topic: Topic) -> None:
    new = NewTopic(
        settings.full_name(topic.name),
        settings.partitions,
        settings.replication_factor,
        topic_configs={"retention.ms": str(topic.retention_ms), "cleanup.policy": "delete"},
    )
    response = await admin.create_topics([new])
    for _name, code, *_rest in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise LogUnavailableError(f"broker refused to create {new.name}: {for_code(code).__name__}")


class _admin:  # noqa: N801 - reads as a function at its use
    """An admin client for the time of one question, with a bound on its start."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=settings.bootstrap, request_timeout_ms=int(settings.request_timeout_s * 1000)
        )

    async def __aenter__(self) -> AIOKafkaAdminClient:
        try:
            await asyncio.wait_for(self._client.start(), self._settings.request_timeout_s)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._client.close()
            raise LogUnavailableError(
                f"no broker answers at {self._settings.bootstrap}: {error!r}"
            ) from error
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
