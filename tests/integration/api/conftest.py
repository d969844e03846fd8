"""One API with a worker for all tests that only use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from embedded.postgres import PostgresServer
from tests.integration.api.history_place import history_server
from tests.integration.api.world import World, settings_of, whole_world
from tests.integration.live_server import LiveServer, live_server


@pytest.fixture(scope="session")
async def api_live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """The live store that the tests of the API share."""
    async with live_server(tmp_path_factory.mktemp("api-live")) as running:
        yield running


@pytest.fixture(scope="session")
async def history_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL for all tests of the API that leave it alone."""
    async with history_server(tmp_path_factory.mktemp("history")) as server:
        yield server


@pytest.fixture(scope="session")
async def world(
    log_address: str, api_live: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """The API and a worker, shared: each test uses tenants and providers of its own."""
    settings = settings_of(log_address, api_live)
    async with whole_world(settings, tmp_path_factory.mktemp("api-worker")) as running:
        yield running
