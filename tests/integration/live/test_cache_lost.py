"""A cache whose subscription is lost, silent, or led to another generation knows nothing until it has loaded again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from projections.errors import LiveUnavailableError
from projections.live.entries import MISSING
from projections.live.store import LiveStore
from tests.integration.live.following import BREAKER, HEALTH, Writer, world
from tests.integration.live_server import WITHIN_S, LiveServer, eventually, live_server, until


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


async def test_lost_subscription_drops_all_and_loads_again(server: LiveServer) -> None:
    """What changed unheard is known once the subscription is back."""
    async with world(server, {"openai/gpt-4o": "closed"}) as it:
        await it.cache.fetch(HEALTH, "openai/gpt-4o")
        async with server.client() as client:
            await client.client_kill_filter(_type="pubsub")
        await until(lambda: "lost" in it.heard.told)
        assert it.cache.get(HEALTH, "openai/gpt-4o") is MISSING
        await it.cache.ready(WITHIN_S)
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"
        await it.writer.write(BREAKER, {"openai/gpt-4o": "open"})
        await until(lambda: it.knows(BREAKER, "openai/gpt-4o", "open"))


async def test_silent_server_loses_the_subscription(tmp_path: Path) -> None:
    """A connection that is open but dead is found by the heartbeat; nothing is served from then on, until it is back."""
    breakers, soon = {"openai/gpt-4o": "closed"}, {"command_timeout_s": 1.0, "push_heartbeat_s": 0.5}
    async with live_server(tmp_path) as server, world(server, breakers, **soon) as it:
        server.pause()
        await until(lambda: it.heard.told[-1] == "lost")
        assert it.cache.get(BREAKER, "openai/gpt-4o") is MISSING
        with pytest.raises(LiveUnavailableError):
            await it.cache.fetch(BREAKER, "openai/gpt-4o")
        with pytest.raises(LiveUnavailableError, match="could not be loaded"):
            await it.cache.ready(0.01)
        server.resume()
        await it.cache.ready(WITHIN_S)
        assert it.cache.get(BREAKER, "openai/gpt-4o") == "closed"


async def test_idle_subscription_is_kept(server: LiveServer) -> None:
    """A server that answers the heartbeat has not lost us, however little happens."""
    async with world(server, push_heartbeat_s=1.0) as it:
        async with server.client() as client:

            async def pings() -> int:
                return int((await client.info("commandstats"))["cmdstat_ping"]["calls"])

            await client.ping()
            before = await pings()

            async def is_pinged() -> bool:
                return await pings() >= before + 2

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
        await it.cache.ready(WITHIN_S)
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
