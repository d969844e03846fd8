"""A log and a live store with a history of every kind, and one worker at work."""

from __future__ import annotations

from tests.integration.rebuild.conftest import rig, server

__all__ = ["rig", "server"]
