"""A cache that follows a live store, a writer in another process, and what a test may hold up between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from projections.live.cache import LiveCache
from projections.live.change import Change
from projections.live.changes import Changes
from projections.live.commit import Commit, Lease
from projections.live.kind import Kind
from projections.live.slots import Slot, slot_of
from projections.live.store import LiveStore
from projections.settings import LiveSettings
from tests.integration.live_server import WITHIN_S, LiveServer

PARTITIONS = 2
BREAKER: Kind[str] = Kind("breaker", bytes.decode, 30.0)
HEALTH: Kind[str] = Kind("health", bytes.decode, 60.0)
SPEND: Kind[str] = Kind("spend", bytes.decode, 120.0)


class SlowStore(LiveStore):
    """The real store; its reads are counted, and a test may hold their answers up once the server gave them."""

    def __init__(self, settings: LiveSettings) -> None:
        super().__init__(settings)
        self.reads = 0
        self.answered = 0
        self.may_return = asyncio.Event()
        self.may_return.set()

    async def read_slots(self, wanted: Mapping[Slot, Sequence[str]]) -> dict[Slot, dict[str, bytes]]:
        self.reads += 1
        found = await super().read_slots(wanted)
        self.answered += 1
        await self.may_return.wait()
        return found


@dataclass(slots=True)
class Heard:
    """A listener that writes down what it is told."""

    told: list[str] = field(default_factory=list)

    def subscribed(self) -> None:
        self.told.append("subscribed")

    def changed(self, change: Change) -> None:
        self.told.append(f"changed {','.join((*change.keys, *change.kinds))}")

    def lost(self) -> None:
        self.told.append("lost")


@dataclass(slots=True)
class Writer:
    """The owner of all slots; writes states where they belong."""

    store: LiveStore
    leases: dict[Slot, Lease] = field(default_factory=dict)

    async def write(self, kind: Kind[str], states: Mapping[str, str | None]) -> None:
        for state_id, value in states.items():
            slot = slot_of(kind.name, state_id, PARTITIONS)
            if slot not in self.leases:
                self.leases[slot] = await self.store.acquire(slot, "writer")
            written = {f"{kind.name}:{state_id}": None if value is None else value.encode()}
            await self.store.commit(self.leases[slot], Commit({}, written, (), clock_us=1))


@dataclass(slots=True)
class World:
    """A writer in one process, and in another a cache that follows it."""

    writer: Writer
    store: SlowStore
    cache: LiveCache
    heard: Heard
    clock: list[int]

    def knows(self, kind: Kind[str], state_id: str, value: str | None) -> bool:
        """What `get` says of it."""
        return self.cache.get(kind, state_id) == value


@asynccontextmanager
async def world(
    server: LiveServer, states: Mapping[str, str] | None = None, **changed: object
) -> AsyncIterator[World]:
    """Breakers are watched; `states` are those that exist before the cache begins."""
    settings = server.settings(**changed)
    clock = [0]
    async with LiveStore(settings) as writing, SlowStore(settings) as reading:
        writer = Writer(writing)
        await writer.write(BREAKER, states or {})
        cache = LiveCache(reading, PARTITIONS, watched=(BREAKER,), clock_ns=lambda: clock[0])
        heard = Heard()
        async with Changes(reading, (cache, heard)), cache:
            await cache.ready(WITHIN_S)
            yield World(writer, reading, cache, heard, clock)
