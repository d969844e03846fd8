"""The Postgres that the tests of the history share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from embedded.postgres import PostgresServer
from tests.integration.history.place import Place, place_on


@pytest.fixture(scope="session")
async def postgres_address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Address of a server for the whole run."""
    async with PostgresServer(tmp_path_factory.mktemp("history")) as server:
        yield server.address


@pytest.fixture
def place(postgres_address: str) -> Place:
    """A schema of the test's own, nothing in it."""
    return place_on(postgres_address)


@pytest.fixture
def beside(postgres_address: str) -> Place:
    """Another one."""
    return place_on(postgres_address)
