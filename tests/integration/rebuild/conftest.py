"""A log and a live store with a history of every kind, and one worker at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.history.conftest import place
from tests.integration.live_server import LiveServer, live_server
from tests.integration.rebuild.site import history
from tests.integration.rig import Rig, settings_of_worker


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A Redis of this test's own."""
    async with live_server(tmp_path) as started:
        yield started


@pytest.fixture
async def rig(log_address: str, server: LiveServer) -> AsyncIterator[Rig]:
    """All of the history is folded."""
    async with Rig(settings_of_worker(log_address), server.settings()) as opened, opened.worker():
        await history(opened)
        yield opened


__all__ = ["place", "rig", "server"]
