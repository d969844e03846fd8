"""One partition's way to the log: appends that come while a batch is under way travel together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from events.header_names import Header
from events.raw_batch import put
from events.settings import LogSettings


class Sendable(Protocol):
    """What can be appended. An event has a key and a value; a record that is carried from another log may have none."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp_ms(self) -> int | None: ...
    @property
    def headers(self) -> Sequence[Header]: ...


@dataclass(slots=True, eq=False)
class Part:
    """What one append brings to one partition. `offsets` grows with the acknowledged records, in their order."""

    records: Sequence[Sendable]
    offsets: list[int] = field(default_factory=list)
    taken: int = 0
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: BaseException) -> None:
        """The rest of it is not to be sent: it would overtake what failed."""
        if not self.done.done():
            self.done.set_exception(error)

    def acknowledge(self, first_offset: int, count: int) -> None:
        """So many of its records lie on the log from an offset on."""
        self.offsets.extend(range(first_offset, first_offset + count))
        if len(self.offsets) == len(self.records) and not self.done.done():
            self.done.set_result(None)


class Lane:
    """Sends the parts of one partition in order, one batch at a time.

    A batch waits for the one before it: were both under way and the first refused, the order would be lost.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        full_name: str,
        partition: int,
        clock_ms: Callable[[], int],
        settings: LogSettings,
    ) -> None:
        self._producer = producer
        self._full_name = full_name
        self._partition = partition
        self._clock_ms = clock_ms
        self._timeout_s = settings.request_timeout_s
        self._linger_s = settings.linger_ms / 1000
        self._waiting: deque[Part] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, part: Part) -> None:
        """Queue a part; its `done` tells the outcome. Cancelling `done` drops what is not under way yet."""
        self._waiting.append(part)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Give up what is still waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for part in self._waiting:
            part.done.cancel()

    async def _run(self) -> None:
        while self._waiting:
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            batch, filled = self._fill()
            if not filled:
                continue
            try:
                async with asyncio.timeout(self._timeout_s):
                    first_offset = await self._send(batch)
            except (KafkaError, TimeoutError, OSError) as error:
                for part, _ in filled:
                    part.fail(error)
                continue
            for part, count in filled:
                part.acknowledge(first_offset, count)
                first_offset += count

    def _fill(self) -> tuple[Any, list[tuple[Part, int]]]:
        """A batch with as much of what waits as it holds, and how many records each part has in it."""
        batch = self._producer.create_batch()
        filled: list[tuple[Part, int]] = []
        while self._waiting:
            part = self._waiting[0]
            count = 0 if part.done.done() else self._add(batch, part)
            if count:
                filled.append((part, count))
            if part.done.done() or part.taken == len(part.records):
                self._waiting.popleft()
            else:
                break
        batch.close()
        return batch, filled

    def _add(self, batch: Any, part: Part) -> int:
        """Put records of a part into a batch until it is full; how many."""
        now_ms = self._clock_ms()
        first = part.taken
        for record in part.records[first:]:
            timestamp_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
            if not put(batch, timestamp_ms, record.key, record.value, record.headers):
                break
            part.taken += 1
        return part.taken - first

    async def _send(self, batch: Any) -> int:
        """Offset of the batch's first record."""
        acknowledged = await self._producer.send_batch(batch, self._full_name, partition=self._partition)
        acknowledged.add_done_callback(_heard)
        await asyncio.wait([acknowledged])
        offset = int(acknowledged.result().offset)
        if offset < 0:
            raise KafkaError("the log has the batch already and does not say where")
        return offset


def _heard(acknowledged: asyncio.Future[Any]) -> None:
    """A failure that comes after the wait for it was given up is nobody's concern any more."""
    if not acknowledged.cancelled():
        acknowledged.exception()
