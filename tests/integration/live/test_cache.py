"""The cache in the process on a real server: pushes and races. What it knows is never silently old."""

from __future__ import annotations

import asyncio
import time
import timeit

from projections.live.cache import LiveCache
from projections.live.change import KEYS_NAMED_OF_A_KIND
from projections.live.changes import Changes
from projections.live.commit import Commit
from projections.live.entries import MISSING
from projections.live.kind import Kind
from projections.live.slots import slot_of
from projections.live.store import LiveStore
from tests.integration.live.following import BREAKER, HEALTH, PARTITIONS, SPEND, Writer, world
from tests.integration.live_server import WITHIN_S, LiveServer, until


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
            await cache.ready(WITHIN_S)
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
        seconds = min(
            timeit.repeat(lambda: get(BREAKER, "openai/m7"), time.process_time, number=20_000, repeat=5)
        )
        assert seconds / 20_000 < 3e-6
