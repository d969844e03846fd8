"""What is at work while commands are killed: a log, and what is folded from it."""

from __future__ import annotations

from tests.integration.analytics.conftest import settings
from tests.integration.history.conftest import console, place
from tests.integration.rebuild.conftest import rig, server

__all__ = ["console", "place", "rig", "server", "settings"]
