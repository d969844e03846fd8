"""A live store that is killed, hangs, fails over, is full or still loading: bounded errors, then recovery by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from processors.rebuild.switch import drop, plan_drop
from projections.errors import LiveUnavailableError, StaleCheckpointError
from projections.live.commit import Commit
from projections.live.keys import lock_key
from projections.live.slots import Slot
from projections.live.store import LiveStore
from tests.integration.live_server import eventually, live_server

USAGE = Slot("usage", 3)


def usage(start: int, end: int, writes: Mapping[str, bytes | None] | None = None) -> Commit:
    return Commit({"usage": (start, end)}, writes or {}, (), clock_us=1)


async def folded(store: LiveStore) -> dict[str, int]:
    """The next offset of each topic."""
    return (await store.checkpoints((USAGE,)))[USAGE].next_offsets


async def test_killed_server_is_unavailable_then_serves_again(tmp_path: Path) -> None:
    """Every call fails within the bound, and works again with the server, on the same store."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    async with live_server(tmp_path, *durable) as server, LiveStore(server.settings()) as store:
        lease = await store.acquire(USAGE, "ann")
        await store.commit(lease, usage(0, 5, {"budgets:acme": b"x"}))
        await server.kill()
        for attempt in (
            store.commit(lease, usage(5, 9)),
            store.read(USAGE, ["budgets:acme"]),
            store.acquire(USAGE, "bob"),
            store.checkpoints((USAGE,)),
            store.connection.subscribe("channel"),
        ):
            with pytest.raises(LiveUnavailableError, match=f"127.0.0.1:{server.port}"):
                await attempt
        await server.start()
        await store.commit(lease, usage(5, 9))
        assert await store.read(USAGE, ["budgets:acme"]) == {"budgets:acme": b"x"}


async def test_hanging_server_is_unavailable_within_the_bound(tmp_path: Path) -> None:
    """A server that is stopped, not gone, holds nobody up for longer than the settings say."""
    async with live_server(tmp_path) as server, LiveStore(server.settings(command_timeout_s=1.0)) as store:
        lease = await store.acquire(USAGE, "ann")
        server.pause()
        started = asyncio.get_running_loop().time()
        with pytest.raises(LiveUnavailableError):
            await store.commit(lease, usage(0, 5))
        assert asyncio.get_running_loop().time() - started < 10.0
        server.resume()

        async def settled() -> bool:
            return await folded(store) == {"usage": 5}

        # The commit reached the server: it took effect, and its repetition is stale.
        await eventually(settled)
        with pytest.raises(StaleCheckpointError):
            await store.commit(lease, usage(0, 5))


async def test_cancelled_call_leaves_no_reply_to_the_next(tmp_path: Path) -> None:
    """A call that is given up does not hand its answer to another one."""
    async with live_server(tmp_path) as server, LiveStore(server.settings()) as store:
        lease = await store.acquire(USAGE, "ann")
        await store.commit(lease, usage(0, 5, {"budgets:a": b"a", "budgets:b": b"b"}))
        server.pause()
        given_up = [asyncio.create_task(store.read(USAGE, ["budgets:a"])) for _ in range(8)]
        await asyncio.wait(given_up, timeout=0.05)
        for task in given_up:
            task.cancel()
        server.resume()
        await asyncio.gather(*given_up, return_exceptions=True)
        answers = await asyncio.gather(*(store.read(USAGE, ["budgets:b"]) for _ in range(16)))
        assert answers == [{"budgets:b": b"b"}] * 16


async def test_replica_is_unavailable_until_it_is_primary(tmp_path: Path) -> None:
    """After a failover the old primary refuses writes: that passes, it is no broken invariant."""
    async with (
        live_server(tmp_path) as server,
        LiveStore(server.settings()) as store,
        server.client() as client,
    ):
        lease = await store.acquire(USAGE, "ann")
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
        with pytest.raises(LiveUnavailableError):
            await store.commit(lease, usage(0, 5))
        await client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
        await store.commit(lease, usage(0, 5))


async def test_full_server_is_unavailable_and_writes_nothing(tmp_path: Path) -> None:
    """Out of memory passes when room is made; the batch is not half written."""
    async with (
        live_server(tmp_path) as server,
        LiveStore(server.settings()) as store,
        server.client() as client,
    ):
        lease = await store.acquire(USAGE, "ann")
        await client.config_set("maxmemory", "1")
        with pytest.raises(LiveUnavailableError, match="is full, raise its maxmemory"):
            await store.commit(lease, usage(0, 5, {"budgets:acme": b"x"}))
        await client.config_set("maxmemory", "0")
        await store.commit(lease, usage(0, 5, {"budgets:acme": b"x"}))


async def test_an_old_generation_is_dropped_from_a_full_server(tmp_path: Path) -> None:
    """What it takes to make room needs none: the lock, and all that is written at its end."""
    async with (
        live_server(tmp_path) as server,
        LiveStore(server.settings()) as store,
        server.client() as client,
    ):
        lease = await store.acquire(USAGE, "ann")
        await store.commit(lease, usage(0, 5, {"budgets:acme": b"x"}))
        await store.name_live(2)
        await client.config_set("maxmemory", "1")
        with pytest.raises(LiveUnavailableError, match="is full"):
            await store.require_writable()
        planned = await plan_drop(store, 1)
        assert await drop(store, 1) == planned.keys > 1
        assert await client.keys("interlock:{g1:*") == []
        assert await client.get(lock_key("interlock")) is None


async def test_loading_server_is_unavailable_until_it_has_loaded(tmp_path: Path) -> None:
    """A server that reads its data from disk at start is waited for, not failed on."""
    async with live_server(tmp_path) as server, LiveStore(server.settings()) as store:
        lease = await store.acquire(USAGE, "ann")
        await store.commit(
            lease, usage(0, 5, {f"spend:acme|user=u{number}|1": b"x" for number in range(3000)})
        )
        async with server.client() as client:
            await client.save()
        await server.kill()
        server.options = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        await server.start_to_load()

        async def is_loading() -> bool:
            try:
                await store.check(lease)
            except LiveUnavailableError as error:
                return "loading" in str(error).lower()
            return False

        async def is_back() -> bool:
            try:
                await store.check(lease)
            except LiveUnavailableError:
                return False
            return True

        await eventually(is_loading)
        await eventually(is_back)
