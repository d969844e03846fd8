"""The cache in the process on a real server: pushes, races, lost subscriptions. What it knows is never silently old."""

from __future__ import annotations

import asyncio
import timeit
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from projections.errors import LiveUnavailableError
from projections.live.cache import LiveCache
from projections.live.change import KEYS_NAMED_OF_A_KIND, Change
from projections.live.changes import Changes
from projections.live.commit import Commit, Lease
from projections.live.entries import MISSING
from projections.live.kind import Kind
from projections.live.slots import Slot, slot_of
from projections.live.store import LiveStore
from projections.settings import LiveSettings
from tests.integration.live_server import LiveServer, eventually, live_server, until

PARTITIONS = 2
BREAKER: Kind[str] = Kind("breaker", bytes.decode, 30.0)
HEALTH: Kind[str] = Kind("health", bytes.decode, 60.0)
SPEND: Kind[str] = Kind("spend", bytes.decode, 120.0)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    async with live_server(tmp_path_factory.mktemp("cache")) as running:
        yield running


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
            await cache.ready(10.0)
            yield World(writer, reading, cache, heard, clock)


async def test_watched_kind_is_known_whole_from_the_start(server: LiveServer) -> None:
    """A gateway asks without waiting, and knows what does not exist too."""
    async with world(server, {"openai/gpt-4o": "closed", "azure/gpt-4o": "open"}) as it:
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"
        assert it.cache.get(BREAKER, "azure/gpt-4o") == "open"
        assert it.cache.get(BREAKER, "nobody/knows") is None
        assert it.cache.get(HEALTH, "openai/gpt-4o") is MISSING
        assert it.cache.get_all(BREAKER) == {"openai/gpt-4o": "closed", "azure/gpt-4o": "open"}


async def test_watched_kind_follows_pushes(server: LiveServer) -> None:
    """Changed, new and deleted states are refreshed by themselves."""
    async with world(server, {"openai/gpt-4o": "closed", "azure/gpt-4o": "open"}) as it:
        await it.writer.write(
            BREAKER, {"openai/gpt-4o": "open", "azure/gpt-4o": None, "mistral/large": "closed"}
        )
        await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))
        await until(lambda: it.knows(BREAKER, "azure/gpt-4o", None))
        await until(lambda: it.knows(BREAKER, "mistral/large", "closed"))
        assert it.cache.get_all(BREAKER) == {"openai/gpt-4o": "open", "mistral/large": "closed"}


async def test_watched_kind_is_loaded_again_when_too_much_changed_to_name(server: LiveServer) -> None:
    """A push that names the kind only is as good as one that names the states."""
    deployments = {f"openai/m{number}": "closed" for number in range(KEYS_NAMED_OF_A_KIND + 1)}
    async with world(server) as it:
        slot = slot_of("breaker", "openai/m0", PARTITIONS)
        lease = await it.writer.store.acquire(slot, "writer")
        writes = {f"breaker:{name}": value.encode() for name, value in deployments.items()}
        await it.writer.store.commit(lease, Commit({}, writes, (), clock_us=1))
        await until(lambda: it.cache.get_all(BREAKER) == deployments)
        assert it.heard.told[-1] == "changed breaker"


async def test_old_value_is_served_until_the_refreshed_one_is_there(server: LiveServer) -> None:
    """A push never makes a gateway ignorant of a breaker."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        it.store.may_return.clear()
        await it.writer.write(BREAKER, {"openai/gpt-4o": "open"})
        await until(lambda: it.store.answered == it.store.reads > 0 and "changed" in it.heard.told[-1])
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"
        it.store.may_return.set()
        await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))


async def test_fetched_state_stays_until_a_push(server: LiveServer) -> None:
    """The second look costs no read; after a change the next one does."""
    async with world(server) as it:
        await it.writer.write(HEALTH, {"openai/gpt-4o": "good"})
        await until(lambda: "changed health:openai/gpt-4o" in it.heard.told)
        before = it.store.reads
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") == "good"
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") == "good"
        assert it.cache.get(HEALTH, "openai/gpt-4o") == "good"
        assert it.store.reads == before + 1
        await it.writer.write(HEALTH, {"openai/gpt-4o": "bad"})
        await until(lambda: it.cache.get(HEALTH, "openai/gpt-4o") is MISSING)
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") == "bad"


async def test_absence_is_remembered_until_a_push(server: LiveServer) -> None:
    """What does not exist is not asked for again and again, and is seen when it comes to be."""
    async with world(server) as it:
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") is None
        before = it.store.reads
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") is None
        assert it.store.reads == before
        await it.writer.write(HEALTH, {"openai/gpt-4o": "good"})
        await until(lambda: it.cache.get(HEALTH, "openai/gpt-4o") is MISSING)
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") == "good"


async def test_many_fetches_at_once_are_one_read(server: LiveServer) -> None:
    """A thundering herd reads once; one of it that gives up does not disturb the others."""
    async with world(server) as it:
        await it.writer.write(HEALTH, {"openai/gpt-4o": "good"})
        await until(lambda: "changed health:openai/gpt-4o" in it.heard.told)
        before = it.store.reads
        it.store.may_return.clear()
        herd = [asyncio.create_task(it.cache.fetch(HEALTH, "openai/gpt-4o")) for _ in range(50)]
        await until(lambda: it.store.answered == before + 1)
        herd[0].cancel()
        it.store.may_return.set()
        answers = await asyncio.gather(*herd, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == ["good"] * 49
        assert it.store.reads == before + 1


async def test_fetch_that_a_push_overtook_is_not_kept(server: LiveServer) -> None:
    """A read that began before a change gives its answer to who asked, and to nobody after."""
    async with world(server) as it:
        await it.writer.write(HEALTH, {"openai/gpt-4o": "old"})
        await until(lambda: "changed health:openai/gpt-4o" in it.heard.told)
        before = it.store.answered
        it.store.may_return.clear()
        early = asyncio.create_task(it.cache.fetch(HEALTH, "openai/gpt-4o"))
        await until(lambda: it.store.answered == before + 1)
        it.heard.told.clear()
        await it.writer.write(HEALTH, {"openai/gpt-4o": "new"})
        await until(lambda: "changed health:openai/gpt-4o" in it.heard.told)
        late = asyncio.create_task(it.cache.fetch(HEALTH, "openai/gpt-4o"))
        await until(lambda: it.store.answered == before + 2)
        it.store.may_return.set()
        assert await early == "old"
        assert await late == "new"
        assert it.cache.get(HEALTH, "openai/gpt-4o") == "new"


async def test_fetch_across_a_lost_subscription_is_not_kept(server: LiveServer) -> None:
    """What was read before the subscription was renewed may have changed unheard."""
    async with world(server) as it:
        await it.writer.write(HEALTH, {"openai/gpt-4o": "old"})
        await until(lambda: "changed health:openai/gpt-4o" in it.heard.told)
        before = it.store.answered
        it.store.may_return.clear()
        early = asyncio.create_task(it.cache.fetch(HEALTH, "openai/gpt-4o"))
        await until(lambda: it.store.answered == before + 1)
        async with server.client() as client:
            await client.client_kill_filter(_type="pubsub")
        await until(lambda: it.heard.told[-2:] == ["lost", "subscribed"])
        it.store.may_return.set()
        assert await early == "old"
        assert it.cache.get(HEALTH, "openai/gpt-4o") is MISSING


async def test_kind_named_by_a_push_is_dropped_in_that_slot_only(server: LiveServer) -> None:
    """Too many changes to name drop the kind in the slot they happened in."""
    async with world(server) as it:
        tenants = [f"t{number}" for number in range(8)]
        slots = {tenant: slot_of("spend", f"{tenant}|tenant|1", PARTITIONS) for tenant in tenants}
        ids = [f"{tenant}|tenant|1" for tenant in tenants]
        assert await it.cache.fetch_many(SPEND, ids) == dict.fromkeys(ids)
        busy = slots[tenants[0]]
        lease = await it.writer.store.acquire(busy, "writer")
        writes = {f"spend:{tenants[0]}|user=u{number}|1": b"x" for number in range(KEYS_NAMED_OF_A_KIND + 1)}
        await it.writer.store.commit(lease, Commit({}, writes, (), clock_us=1))
        await until(lambda: it.heard.told[-1] == "changed spend")
        for tenant, state_id in zip(tenants, ids, strict=True):
            expected = MISSING if slots[tenant] == busy else None
            assert it.cache.get(SPEND, state_id) is expected
        assert len(set(slots.values())) == PARTITIONS


async def test_newest_is_read_past_the_cache(server: LiveServer) -> None:
    """A read that waited for a position does not get what the cache had before."""
    async with world(server) as it:
        assert await it.cache.fetch(HEALTH, "openai/gpt-4o") is None
        before = it.store.reads
        assert await it.cache.fetch_newest(HEALTH, ("openai/gpt-4o", "azure/gpt-4o")) == {
            "openai/gpt-4o": None,
            "azure/gpt-4o": None,
        }
        assert it.store.reads == before + 1
        assert it.cache.get(HEALTH, "azure/gpt-4o") is None


async def test_entry_ends_with_its_time_to_live(server: LiveServer) -> None:
    """The backstop: without any push, nothing is older than its kind allows."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        await it.cache.fetch(HEALTH, "openai/gpt-4o")
        it.clock[0] += BREAKER.ttl_ns
        assert it.cache.get(BREAKER, "openai/gpt-4o") is MISSING
        assert it.cache.get(BREAKER, "nobody/knows") is MISSING
        assert it.cache.get_all(BREAKER) is MISSING
        assert it.cache.get(HEALTH, "openai/gpt-4o") is None
        it.clock[0] += HEALTH.ttl_ns - BREAKER.ttl_ns
        assert it.cache.get(HEALTH, "openai/gpt-4o") is MISSING


async def test_watched_kind_is_loaded_again_before_its_time_to_live_is_over(server: LiveServer) -> None:
    """A breaker that does not change is known for ever, and a change whose push was lost is found."""
    brief: Kind[str] = Kind("breaker", bytes.decode, 0.2)
    settings = server.settings()
    async with LiveStore(settings) as writing, LiveStore(settings) as reading:
        await Writer(writing).write(BREAKER, {"openai/gpt-4o": "closed"})
        cache = LiveCache(reading, PARTITIONS, watched=(brief,))
        async with Changes(reading, (cache,)), cache:
            await cache.ready(10.0)
            slot = slot_of("breaker", "openai/gpt-4o", PARTITIONS)
            await writing.connection.command(
                "SET", writing.keyspace.prefix(slot) + "breaker:openai/gpt-4o", "open"
            )
            await until(lambda: cache.get(brief, "openai/gpt-4o") == "open")


async def test_watched_kind_that_does_not_fit_is_not_called_whole(server: LiveServer) -> None:
    """When entries had to go, what is not there is unknown, not absent; a fetch finds it."""
    deployments = {f"openai/m{number}": "x" * 400 for number in range(20)}
    async with world(server, deployments, cache_bytes=4096) as it:
        known = {name: it.cache.get(BREAKER, name) for name in deployments}
        assert MISSING in known.values()
        assert None not in known.values()
        assert it.cache.get(BREAKER, "nobody/knows") is MISSING
        assert it.cache.get_all(BREAKER) is MISSING
        for name, value in deployments.items():
            assert await it.cache.fetch(BREAKER, name) == value


async def test_lost_subscription_drops_all_and_loads_again(server: LiveServer) -> None:
    """What changed unheard is known once the subscription is back."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        await it.cache.fetch(HEALTH, "openai/gpt-4o")
        async with server.client() as client:
            await client.client_kill_filter(_type="pubsub")
        await until(lambda: "lost" in it.heard.told)
        assert it.cache.get(HEALTH, "openai/gpt-4o") is MISSING
        await it.cache.ready(10.0)
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"
        await it.writer.write(BREAKER, {"openai/gpt-4o": "open"})
        await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))


async def test_silent_server_loses_the_subscription(tmp_path: Path) -> None:
    """A connection that is open but dead is found by the heartbeat; nothing is served from then on, until it is back."""
    breakers = {"openai/gpt-4o": "closed"}
    async with live_server(tmp_path) as server, world(server, breakers, command_timeout_s=0.3) as it:
        server.pause()
        await until(lambda: it.heard.told[-1] == "lost")
        assert it.cache.get(BREAKER, "openai/gpt-4o") is MISSING
        with pytest.raises(LiveUnavailableError):
            await it.cache.fetch(BREAKER, "openai/gpt-4o")
        with pytest.raises(LiveUnavailableError, match="could not be loaded"):
            await it.cache.ready(0.01)
        server.resume()
        await it.cache.ready(10.0)
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"


async def test_idle_subscription_is_kept(server: LiveServer) -> None:
    """A server that answers the heartbeat has not lost us, however little happens."""
    async with world(server, push_heartbeat_s=0.05) as it:
        async with server.client() as client:

            async def pings() -> int:
                return int((await client.info("commandstats"))["cmdstat_ping"]["calls"])

            await client.ping()
            before = await pings()

            async def is_pinged() -> bool:
                return await pings() >= before + 5

            await eventually(is_pinged)
        assert it.heard.told == ["subscribed"]


async def test_server_that_restarts_is_followed_again(tmp_path: Path) -> None:
    """Cache and push recover with the server, without a restart of their process."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    async with live_server(tmp_path, *durable) as server, world(server, {"openai/gpt-4o": "closed"}) as it:
        await server.kill()
        await until(lambda: it.heard.told[-1] == "lost")
        assert it.cache.get(BREAKER, "openai/gpt-4o") is MISSING
        await server.start()
        await it.cache.ready(10.0)
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"
        await it.writer.write(BREAKER, {"openai/gpt-4o": "open"})
        await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))


async def test_cut_over_moves_the_cache_to_the_new_generation(server: LiveServer) -> None:
    """After the flip readers see the rebuilt state, and its changes."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        settings = it.store.settings.model_copy(update={"generation": 2})
        async with LiveStore(settings) as rebuild:
            rebuilder = Writer(rebuild)
            await rebuilder.write(BREAKER, {"openai/gpt-4o": "rebuilt"})
            await rebuild.name_live(2)
            await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "rebuilt"))
            await rebuilder.write(BREAKER, {"openai/gpt-4o": "open"})
            await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))


async def test_unreadable_state_does_not_end_the_watch(server: LiveServer) -> None:
    """One value that cannot be decoded makes its kind unknown, loudly; mended, all is known again."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        slot = slot_of("breaker", "openai/bad", PARTITIONS)
        lease = await it.writer.store.acquire(slot, "writer")
        await it.writer.store.commit(lease, Commit({}, {"breaker:openai/bad": b"\xff"}, (), clock_us=1))
        await until(lambda: it.cache.get_all(BREAKER) is MISSING)
        await it.writer.store.commit(lease, Commit({}, {"breaker:openai/bad": b"mended"}, (), clock_us=1))
        await until(lambda: it.cache.get_all(BREAKER) == {"openai/gpt-4o": "closed", "openai/bad": "mended"})


async def test_hit_costs_about_a_microsecond(server: LiveServer) -> None:
    """A gateway pays it for every candidate of every request. The bound leaves room for a busy machine."""
    async with world(server, {f"openai/m{number}": "closed" for number in range(100)}) as it:
        get = it.cache.get
        seconds = min(timeit.repeat(lambda: get(BREAKER, "openai/m7"), number=20_000, repeat=5))
        assert seconds / 20_000 < 3e-6
