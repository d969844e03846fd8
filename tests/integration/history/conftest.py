"""Schemas of the shared PostgreSQL, for the tests of the history, and what its commands are tried on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.crew import environment_of
from tests.integration.history.place import Place, place_on
from tests.integration.history.rebuilding import something_of_every_kind, write
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic


@pytest.fixture
def place(postgres: PostgresServer) -> Place:
    """A schema of the test's own, nothing in it."""
    return place_on(postgres.address)


@pytest.fixture
def beside(postgres: PostgresServer) -> Place:
    """Another one."""
    return place_on(postgres.address)


@pytest.fixture
async def rig(log_address: str, place: Place) -> AsyncIterator[Rig]:
    """A log, and the history of it."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        await opened.append(*Traffic(opened).some(120))
        await write(opened, place)
        yield opened


@pytest.fixture
def console(tmp_path: Path, rig: Rig, place: Place) -> Console:
    """A shell of an operator."""
    return Console(tmp_path, environment_of("LOG", rig.log) | environment_of("HISTORY", place.settings))
