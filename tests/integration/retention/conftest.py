"""One PostgreSQL for the tests of retention."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from embedded.postgres import PostgresServer


@pytest.fixture(scope="session")
async def retention_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """Started once; each test has a schema of its own in it."""
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server
