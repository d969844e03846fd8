"""`interlock sink` under load, as an operator runs it: stores that go away, a process that is killed, and the lag meanwhile."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import pytest

from embedded.broker import BrokerServer
from embedded.chroma import ChromaServer
from embedded.ports import free_port
from embedded.postgres import PostgresServer
from embedded.process import Child, Launch
from embedded.server import Server, plain_environment
from embedded.valkey import ValkeyServer
from events.broker import create_topics
from events.publisher import Publisher
from events.settings import LogSettings
from tests.integration.live_server import eventually
from tests.integration.log import CODEC, usage
from tests.integration.traffic import now_us

CAUGHT_UP_WITHIN_S = 60.0
AWAY_UNTIL_LAG = 200
AT_ONCE, PAUSE_S = 10, 0.1


@dataclass(slots=True)
class World:
    """All stores with a log, an API that tells the lags, and a gateway that goes on appending."""

    folder: Path
    log: LogSettings
    postgres: Server
    chroma: Server
    environment: Mapping[str, str]
    http: httpx.AsyncClient
    sink: Child | None = None
    appended: dict[str, int] = field(default_factory=dict)

    async def start_sink(self) -> None:
        """`interlock sink` for all stores."""
        launch = Launch([sys.executable, "-m", "api.cli", "sink"], self.environment)
        self.sink = await Child.spawn("sink", launch, self.folder / "sink.log")

    async def lags(self) -> dict[str, int | None]:
        """Of each sink, as /v1/status has it."""
        answer = (await self.http.get("/v1/status")).raise_for_status().json()
        return {one["sink"]: one["lag"] for one in answer["sinks"]}

    async def within(self, most: int) -> None:
        """Wait until no sink misses more records than that."""
        lags: dict[str, int | None] = {}

        async def near() -> bool:
            lags.update(await self.lags())
            return len(lags) == 3 and all(lag is not None and lag <= most for lag in lags.values())

        try:
            await eventually(near, CAUGHT_UP_WITHIN_S)
        except AssertionError:
            log = (self.folder / "sink.log").read_text()[-4_000:]
            raise AssertionError(f"still behind: {lags}\n{log}") from None

    async def history(self) -> tuple[int, int, dict[str, int]]:
        """Rows of usage, their distinct ids, and calls by tenant as the daily rollups have them."""
        connection = await asyncpg.connect(self.postgres.address)
        try:
            rows = await connection.fetchval("select count(*) from interlock.usage")
            ids = await connection.fetchval("select count(distinct event_id) from interlock.usage")
            calls = await connection.fetch(
                "select tenant, sum(calls)::bigint as calls from interlock.usage_by_day group by 1"
            )
        finally:
            await connection.close()
        return rows, ids, {row["tenant"]: row["calls"] for row in calls}

    async def agrees(self) -> None:
        """History and rollups are what the gateway appended: nothing lost, nothing doubled."""
        await self.within(0)
        rows, ids, calls = await self.history()
        assert rows == ids == sum(self.appended.values())
        assert calls == self.appended


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything started; all of it ends with the test."""
    async with AsyncExitStack() as resources:
        enter = resources.enter_async_context
        broker, live = BrokerServer(tmp_path / "log"), ValkeyServer(tmp_path / "live")
        postgres, chroma = PostgresServer(tmp_path / "postgres"), ChromaServer(tmp_path / "chroma")
        await asyncio.gather(*(enter(server) for server in (broker, live, postgres, chroma)))
        log = LogSettings(bootstrap=broker.address, session_timeout_s=2)
        await create_topics(log)
        port = free_port()
        environment = plain_environment(
            INTERLOCK_LOG__BOOTSTRAP=broker.address,
            INTERLOCK_LOG__SESSION_TIMEOUT_S="2",
            INTERLOCK_LIVE__REDIS_URL=live.address,
            INTERLOCK_HISTORY__POSTGRES_DSN=postgres.address,
            INTERLOCK_HISTORY__CONNECT_TIMEOUT_S="1",
            INTERLOCK_ANALYTICS__CHROMA_URL=chroma.address,
            INTERLOCK_ANALYTICS__FLUSH_AFTER_S="0.5",
            INTERLOCK_ARCHIVE__FOLDER=str(tmp_path / "archive"),
            INTERLOCK_ARCHIVE__SEGMENT_AGE_S="0.5",
            INTERLOCK_API__PORT=str(port),
        )
        serve = Launch([sys.executable, "-m", "api.cli", "serve"], environment)
        api = await Child.spawn("api", serve, tmp_path / "api.log")
        resources.push_async_callback(api.stop)
        http = await enter(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20))
        made = World(tmp_path, log, postgres, chroma, environment, http)
        await api.until(lambda: _answers(http), 60)
        await made.start_sink()
        try:
            yield made
        finally:
            if made.sink is not None:
                await made.sink.stop(20)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/liveness")).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def load(world: World) -> AsyncIterator[None]:
    """A gateway that appends without a pause worth the name; every tenth event is sent twice."""
    enough = asyncio.Event()

    async def send() -> None:
        async with Publisher(world.log, CODEC) as publisher:
            while not enough.is_set():
                tenant = f"tenant-{sum(world.appended.values()) // AT_ONCE % 5}"
                events = [usage(tenant=tenant, occurred_at=now_us()) for _ in range(AT_ONCE)]
                await publisher.append([*events, events[-1]])
                world.appended[tenant] = world.appended.get(tenant, 0) + AT_ONCE
                await asyncio.sleep(PAUSE_S)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        enough.set()
        await sending


async def _appended(world: World, more: int) -> None:
    wanted = sum(world.appended.values()) + more
    await eventually(lambda: _reached(world, wanted), CAUGHT_UP_WITHIN_S)


async def _reached(world: World, wanted: int) -> bool:
    return sum(world.appended.values()) >= wanted


@pytest.mark.parametrize("name, store", [("history", "postgres"), ("analytics", "chroma")])
async def test_a_store_that_is_away_is_seen_in_the_lag_and_holds_up_no_other(
    world: World, name: str, store: str
) -> None:
    """Killed under load and started again: its sink catches up without a restart, the others never waited."""
    server: Server = getattr(world, store)
    async with load(world):
        await _appended(world, 100)
        await world.within(AWAY_UNTIL_LAG)
        await server.kill()

        async def lags_alone() -> bool:
            lags = await world.lags()
            behind = lags.pop(name)
            return (behind or 0) > AWAY_UNTIL_LAG and all(
                (lag or 0) < AWAY_UNTIL_LAG for lag in lags.values()
            )

        await eventually(lags_alone, CAUGHT_UP_WITHIN_S)
        metrics = (await world.http.get("/metrics")).text
        shown = [line for line in metrics.splitlines() if line.startswith("interlock_sink_lag_records{")]
        assert any(f'sink="{name}"' in line and not line.endswith(" 0.0") for line in shown)
        await server.start()
        await _appended(world, 50)
    await world.agrees()


async def test_a_killed_sink_loses_and_doubles_nothing(world: World) -> None:
    """SIGKILL at five moments under load, whatever it was doing; a new process goes on."""
    async with load(world):
        for more in (30, 170, 20, 90, 60):
            await _appended(world, more)
            assert world.sink is not None
            await world.sink.kill()
            await world.start_sink()
        await _appended(world, 100)
    await world.agrees()
    verified = await _interlock(world, "archive", "verify", "--json")
    assert verified == 0


async def test_a_stop_in_order_writes_what_the_log_holds(world: World) -> None:
    """SIGTERM: the process ends by itself, soon, and with all that was appended before."""
    async with load(world):
        await world.within(AWAY_UNTIL_LAG)
        await _appended(world, 200)
    assert world.sink is not None
    assert await world.sink.stop(CAUGHT_UP_WITHIN_S, signal.SIGTERM) == 0
    await world.agrees()


async def _interlock(world: World, *arguments: str) -> int:
    launch = Launch([sys.executable, "-m", "api.cli", *arguments], world.environment)
    child = await Child.spawn("command", launch, world.folder / "command.log")
    async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
        return await child.wait()
