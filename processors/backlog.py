"""What a slot has still to fold: batches that follow on one another are taken as one.

A batch costs a commit and an append, however few records it has. A slot that took one fetch after the other would fall
behind when fetches come quicker than that, and each of its records would wait for all before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from processors.batching import RecordBatch

MOST_RECORDS = 8_000
"""From so many on that wait, the next batch is not taken in; and no more are put together. The larger a batch, the seldomer a
state is written; the smaller, the sooner the first of its records show."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch of a topic, by its short name; `acknowledge` tells that it is folded."""

    topic: str
    batch: RecordBatch
    acknowledge: Callable[[], None]

    def is_followed_by(self, other: Fetched) -> bool:
        """Whether the other begins where this one ends."""
        return self.topic == other.topic and self.batch.end == other.batch.start


@dataclass(slots=True)
class Backlog:
    """A bounded queue with one taker."""

    _waiting: deque[Fetched] = field(default_factory=deque)
    _records: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_full(self) -> bool:
        """Whether `put` would wait."""
        return self._records >= MOST_RECORDS

    async def put(self, fetched: Fetched) -> None:
        """Add a batch once there is room."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(fetched)
        self._records += len(fetched.batch.records)
        self._arrived.set()

    async def take(self) -> Fetched:
        """The oldest batch, with those that follow on it, once there is one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        parts = [self._waiting.popleft()]
        count = len(parts[0].batch.records)
        while self._waiting and parts[-1].is_followed_by(self._waiting[0]):
            count += len(self._waiting[0].batch.records)
            if count > MOST_RECORDS:
                break
            parts.append(self._waiting.popleft())
        self._records -= sum(len(part.batch.records) for part in parts)
        self._room.set()
        return parts[0] if len(parts) == 1 else _joined(parts)

    def clear(self) -> None:
        """Let go of all."""
        self._waiting.clear()
        self._records = 0
        self._room.set()


def _joined(parts: Sequence[Fetched]) -> Fetched:
    def acknowledge() -> None:
        for part in parts:
            part.acknowledge()

    first, records = parts[0], [record for part in parts for record in part.batch.records]
    return Fetched(first.topic, RecordBatch(first.batch.topic, first.batch.partition, records), acknowledge)
