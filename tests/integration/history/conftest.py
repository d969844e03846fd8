"""Schemas of the shared PostgreSQL, for the tests of the history."""

from __future__ import annotations

import pytest

from embedded.postgres import PostgresServer
from tests.integration.history.place import Place, place_on


@pytest.fixture
def place(postgres: PostgresServer) -> Place:
    """A schema of the test's own, nothing in it."""
    return place_on(postgres.address)


@pytest.fixture
def beside(postgres: PostgresServer) -> Place:
    """Another one."""
    return place_on(postgres.address)
