"""The Postgres that the tests of the history share."""

from __future__ import annotations

from tests.integration.history.conftest import place

__all__ = ["place"]
