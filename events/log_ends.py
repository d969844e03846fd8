"""Where the log ends now: high watermarks over one connection that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from events.consumer_stop import stop_consumer
from events.errors import LogUnavailableError
from events.high_watermarks import high_watermarks
from events.positions import Partition
from events.settings import LogSettings
from events.tolerant_records import TolerantConsumer


class LogEnds:
    """Answers with ends that hold at or after the moment of asking; askers who come together share a question.

    Connects when first asked, and again after the broker was away.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._asking: asyncio.Task[None] | None = None
        self._waiting: list[tuple[frozenset[Partition], asyncio.Future[dict[Partition, int]]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self._disconnect()

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offset that the next append to each of the partitions gets.

        Raises LogUnavailableError when the broker does not say within `request_timeout_s`.
        """
        answer: asyncio.Future[dict[Partition, int]] = asyncio.get_running_loop().create_future()
        wanted = frozenset(partitions)
        self._waiting.append((wanted, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all())
        found = await answer
        return {partition: found[partition] for partition in wanted}

    async def _ask_for_all(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                found = await self._ask(frozenset().union(*(wanted for wanted, _ in asked)))
            except BaseException as error:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(LogUnavailableError(str(error) or "the log is no longer asked"))
                if not isinstance(error, LogUnavailableError):
                    raise
            else:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_result(found)

    async def _ask(self, partitions: frozenset[Partition]) -> dict[Partition, int]:
        settings = self._settings
        places = {TopicPartition(settings.full_name(one.topic), one.number): one for one in partitions}
        try:
            async with asyncio.timeout(settings.request_timeout_s):
                consumer = await self._connected()
                found = await high_watermarks(consumer, places)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._disconnect()
            raise LogUnavailableError(
                f"the log at {settings.bootstrap} does not say where it ends: {error!r}"
            ) from error
        return {places[place]: end for place, end in found.items()}

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = TolerantConsumer(
                bootstrap_servers=self._settings.bootstrap,
                group_id=None,
                enable_auto_commit=False,
                fetch_max_wait_ms=1000,
                request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            )
            try:
                await consumer.start()
            except BaseException:
                await stop_consumer(consumer)
                raise
            self._consumer = consumer
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_consumer(consumer)
