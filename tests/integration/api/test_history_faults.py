"""The history is not configured, not there yet, or goes away: clear answers within a bound, and back without a restart."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from embedded.postgres import PostgresServer
from events.positions import Partition
from tests.integration.api.history_place import history_place
from tests.integration.api.world import NOBODY, World, api_alone, settings_of
from tests.integration.live_server import LiveServer, eventually, until

BOUND_S = 20.0
PLACE = Partition("usage", 0)
"""To open it makes the tables."""

PATHS = (
    "/v1/history/usage",
    "/v1/history/usage/series",
    "/v1/history/usage/top",
    "/v1/decisions/r-1",
    "/v1/breakers?as_of=2026-03-01T12:00:00Z",
    "/v1/budgets/acme?as_of=2026-03-01T12:00:00Z",
)


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A server of the test's own, to be killed."""
    server = PostgresServer(tmp_path / "postgres")
    await server.start()
    yield server
    await server.kill()


async def asked(world: World, path: str) -> httpx.Response:
    """The answer, which has to come within the bound."""
    started = time.monotonic()
    response = await world.http.get(path)
    assert time.monotonic() - started < BOUND_S, path
    return response


async def unavailable(world: World, path: str) -> str:
    """What a 503 of the history says."""
    response = await asked(world, path)
    assert (response.status_code, response.json()["type"]) == (
        503,
        "urn:interlock:problem:history-unavailable",
    )
    assert int(response.headers["retry-after"]) >= 1
    return str(response.json()["detail"])


async def test_without_a_history_its_routes_say_how_to_get_one(
    api_live: LiveServer,
) -> None:
    """Each is 503 and names the setting; all else works."""
    settings = settings_of(NOBODY, api_live)
    async with api_alone(settings) as world:
        for path in PATHS:
            assert "INTERLOCK_HISTORY__POSTGRES_DSN" in await unavailable(world, path)
        assert (await world.http.get("/v1/breakers")).status_code == 200


async def test_a_killed_postgres_is_503_and_its_return_200(
    own_postgres: PostgresServer, api_live: LiveServer
) -> None:
    """Reads that need no history go on meanwhile."""
    async with history_place(own_postgres, query_timeout_s=2.0) as place:
        settings = settings_of(NOBODY, api_live).model_copy(update={"history": place.settings})
        async with api_alone(settings) as world:
            assert "tables are not there" in await unavailable(world, PATHS[0])
            await place.sink.open(PLACE)
            for path in PATHS[:3]:
                assert (await asked(world, path)).status_code == 200
            await own_postgres.kill()
            for path in PATHS:
                assert "away" in await unavailable(world, path)
            assert (await world.http.get("/v1/breakers")).status_code == 200
            await own_postgres.start()

            async def back() -> bool:
                return (await asked(world, PATHS[0])).status_code == 200

            await eventually(back)


async def test_a_postgres_that_hangs_holds_nobody_up(
    own_postgres: PostgresServer, api_live: LiveServer
) -> None:
    """The answer is 503 within the timeouts of the settings, and 200 again once it goes on."""
    async with history_place(own_postgres, query_timeout_s=1.0) as place:
        await place.sink.open(PLACE)
        settings = settings_of(NOBODY, api_live).model_copy(update={"history": place.settings})
        async with api_alone(settings) as world:
            assert (await asked(world, PATHS[0])).status_code == 200
            process = psutil.Process(own_postgres.child.pid)
            family = [process, *process.children()]
            for one in family:
                one.send_signal(signal.SIGSTOP)
            try:
                await until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in family))
                both = await asyncio.gather(asked(world, PATHS[0]), asked(world, PATHS[1]))
                assert [response.status_code for response in both] == [503, 503]
            finally:
                for one in family:
                    one.send_signal(signal.SIGCONT)

            async def back() -> bool:
                return (await asked(world, PATHS[0])).status_code == 200

            await eventually(back)
