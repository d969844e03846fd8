"""What is at work while commands are killed: a log, and what is folded from it."""

from __future__ import annotations

from tests.integration.analytics.conftest import chroma_url, settings
from tests.integration.history.conftest import place, postgres_address
from tests.integration.rebuild.conftest import rig, server

__all__ = ["chroma_url", "place", "postgres_address", "rig", "server", "settings"]
