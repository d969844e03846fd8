"""One API with a worker for all tests that only use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from embedded.postgres import PostgresServer
from tests.integration.api.history_place import history_place
from tests.integration.api.told import Told, some_calls
from tests.integration.api.world import NOBODY, World, api_alone, settings_of, whole_world
from tests.integration.live_server import LiveServer, live_server


@pytest.fixture(scope="session")
async def api_live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """The live store that the tests of the API share."""
    async with live_server(tmp_path_factory.mktemp("api-live")) as running:
        yield running


@pytest.fixture(scope="session")
async def world(
    log_address: str, api_live: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """The API and a worker, shared: each test uses tenants and providers of its own."""
    settings = settings_of(log_address, api_live)
    async with whole_world(settings, tmp_path_factory.mktemp("api-worker")) as running:
        yield running


@pytest.fixture(scope="session")
async def told(postgres: PostgresServer, api_live: LiveServer) -> AsyncIterator[Told]:
    """A history with calls of three hours and a little of all else."""
    calls = some_calls(3_000)
    async with history_place(postgres) as place:
        for start in range(0, len(calls), 500):
            await place.add(*calls[start : start + 500])
        settings = settings_of(NOBODY, api_live).model_copy(update={"history": place.settings})
        async with api_alone(settings) as world:
            yield Told(place, world, calls)
