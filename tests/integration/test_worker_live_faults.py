"""One worker whose Redis is flushed, killed, restarted, slept or full: it waits, goes on by itself, and is exact after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processors import metrics
from tests.integration.live_server import LiveServer, eventually, live_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, traffic

KEEPING = ("--appendonly", "yes", "--appendfsync", "always")


@asynccontextmanager
async def at_work(address: str, folder: Path, *options: str) -> AsyncIterator[tuple[LiveServer, Rig]]:
    """A Redis of its own, and one worker that has begun and has folded some traffic."""
    async with (
        live_server(folder, *options) as server,
        Rig(settings_of_worker(address), server.settings(command_timeout_s=0.5)) as rig,
        rig.worker(),
    ):
        await rig.append(*Traffic(rig).some(100))
        await rig.folded()
        yield server, rig


@pytest.fixture(scope="module")
async def forgetful(
    log_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[LiveServer, Rig]]:
    """A Redis that keeps nothing, and its worker."""
    async with at_work(log_address, tmp_path_factory.mktemp("forgetful")) as running:
        yield running


@pytest.fixture(scope="module")
async def keeping(
    log_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[LiveServer, Rig]]:
    """A Redis with an append-only file, and its worker."""
    async with at_work(log_address, tmp_path_factory.mktemp("keeping"), *KEEPING) as running:
        yield running


@asynccontextmanager
async def away(server: LiveServer) -> AsyncIterator[None]:
    """Killed, and started again at the end."""
    await server.kill()
    try:
        yield
    finally:
        await server.start()


async def timeouts(count: int) -> None:
    """Return when the worker has met that many more calls to Redis that took too long."""
    met = metrics.RETRIES.labels("live")._value
    before = met.get()

    async def are_met() -> bool:
        return bool(met.get() >= before + count)

    await eventually(are_met)


async def test_a_flushed_redis_is_built_again_from_the_log(forgetful: tuple[LiveServer, Rig]) -> None:
    """FLUSHALL amid traffic; what was decided before is taken from the log and not decided again."""
    server, rig = forgetful
    async with traffic(rig) as gateway:
        await gateway.flown()
        async with server.client() as client:
            await client.flushall()
        await gateway.flown()
    await rig.folded()
    assert await rig.violations() == []


async def test_a_flushed_redis_is_built_again_without_traffic(forgetful: tuple[LiveServer, Rig]) -> None:
    """An idle worker looks after its state now and then."""
    server, rig = forgetful
    async with server.client() as client:
        await client.flushall()
    await rig.folded()
    assert await rig.violations() == []


async def test_a_redis_that_restarts_empty_is_built_again(forgetful: tuple[LiveServer, Rig]) -> None:
    """Killed, away for a while, in which the lag shows, and back without its data and without our functions."""
    server, rig = forgetful
    async with traffic(rig) as gateway:
        await gateway.flown()
        async with away(server):
            await gateway.flown(300)
            assert await rig.lag() >= 200
        await gateway.flown()
    await rig.folded()
    assert await rig.violations() == []


async def test_a_redis_that_sleeps_longer_than_a_command_may_take(forgetful: tuple[LiveServer, Rig]) -> None:
    """What it was asked meanwhile it may do when it wakes up: a commit whose reply was lost is not done twice."""
    server, rig = forgetful
    async with traffic(rig) as gateway:
        for _ in range(2):
            await gateway.flown()
            server.pause()
            try:
                await timeouts(2)
            finally:
                server.resume()
    await rig.folded()
    assert await rig.violations() == []


async def test_writes_that_are_held_back_longer_than_a_command_may_take(
    forgetful: tuple[LiveServer, Rig],
) -> None:
    """CLIENT PAUSE WRITE, as in a failover: connections answer, commits wait."""
    server, rig = forgetful
    async with traffic(rig) as gateway, server.client() as client:
        await gateway.flown()
        await client.client_pause(1_500, all=False)
        await gateway.flown()
    await rig.folded()
    assert await rig.violations() == []


async def test_a_redis_that_restarts_with_its_data_goes_on(keeping: tuple[LiveServer, Rig]) -> None:
    """With an append-only file the state is where it was, and the worker goes on from there."""
    server, rig = keeping
    async with traffic(rig) as gateway:
        await gateway.flown()
        async with away(server):
            await gateway.flown()
        assert all(held.next_offsets for held in (await rig.store.checkpoints(rig.slots)).values())
        await gateway.flown()
    await rig.folded()
    assert await rig.violations() == []
