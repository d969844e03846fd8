"""A live store on one server and on a cluster, for all tests that leave the servers running."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projections.live.store import LiveStore
from tests.integration.live_server import LiveServer, live_cluster, live_server


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    async with live_server(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    async with live_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["single", "cluster"])
async def store(
    request: pytest.FixtureRequest, server: LiveServer, cluster: LiveServer
) -> AsyncIterator[LiveStore]:
    """The contract holds on one server and on a cluster."""
    running = server if request.param == "single" else cluster
    async with LiveStore(running.settings(topology=request.param)) as opened:
        yield opened


@pytest.fixture
async def one(server: LiveServer) -> AsyncIterator[LiveStore]:
    """A store on the single server, for faults that are injected into that server."""
    async with LiveStore(server.settings()) as opened:
        yield opened
