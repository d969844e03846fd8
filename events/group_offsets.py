"""How far consumer groups have come, asked and told from outside: over one connection a group, which never joins it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Self

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaError

from events.consumer_stop import stop_consumer
from events.errors import LogUnavailableError
from events.positions import Partition, PositionVector
from events.settings import LogSettings


class GroupOffsets:
    """The committed offsets of groups. Connects when first asked, and again after the broker was away."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._consumers: dict[str, AIOKafkaConsumer] = {}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for group in list(self._consumers):
            await self._disconnect(group)

    async def committed(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The next offset of each partition that the group has acknowledged; without those of which it has none.

        Raises LogUnavailableError when the broker does not say within `request_timeout_s`.
        """
        settings = self._settings
        places = {TopicPartition(settings.full_name(one.topic), one.number): one for one in partitions}
        try:
            async with asyncio.timeout(settings.request_timeout_s), self._turn:
                consumer = await self._connected(group)
                # In one request; the public call makes one for each partition.
                found = await consumer._coordinator.fetch_committed_offsets(list(places))  # noqa: SLF001
        except (KafkaError, OSError, TimeoutError) as error:
            await self._disconnect(group)
            raise LogUnavailableError(
                f"the log at {settings.bootstrap} does not say how far {group} is: {error!r}"
            ) from error
        return {places[place]: held.offset for place, held in found.items()}

    async def commit(self, group: str, offsets: PositionVector) -> None:
        """Tell the broker how far a group is that has no members, as after its log was restored.

        Raises LogUnavailableError when the broker does not take it within `request_timeout_s`, or the group has members.
        """
        settings = self._settings
        told = {
            TopicPartition(settings.full_name(one.topic), one.number): OffsetAndMetadata(offset, "")
            for one, offset in offsets.items()
        }
        if not told:
            return
        try:
            async with asyncio.timeout(settings.request_timeout_s), self._turn:
                consumer = await self._connected(group)
                consumer.assign(list(told))
                await consumer.commit(told)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._disconnect(group)
            raise LogUnavailableError(
                f"the log at {settings.bootstrap} does not take how far {group} is (it may have members): {error!r}"
            ) from error

    async def _connected(self, group: str) -> AIOKafkaConsumer:
        held = self._consumers.get(group)
        if held is not None:
            return held
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        try:
            await consumer.start()
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._consumers[group] = consumer
        return consumer

    async def _disconnect(self, group: str) -> None:
        consumer = self._consumers.pop(group, None)
        if consumer is not None:
            await stop_consumer(consumer)
