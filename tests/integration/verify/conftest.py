"""A log and a live store with a history of every kind, and one worker at work; a Postgres, a Chroma."""

from __future__ import annotations

from tests.integration.analytics.conftest import settings
from tests.integration.history.conftest import place
from tests.integration.rebuild.conftest import rig, server

__all__ = ["place", "rig", "server", "settings"]
