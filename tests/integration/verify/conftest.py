"""A log and a live store with a history of every kind, and one worker at work; a Postgres."""

from __future__ import annotations

from tests.integration.history.conftest import place, postgres_address
from tests.integration.rebuild.conftest import rig, server

__all__ = ["place", "postgres_address", "rig", "server"]
