"""The Postgres that the tests of the history share."""

from __future__ import annotations

from tests.integration.history.conftest import place, postgres_address

__all__ = ["place", "postgres_address"]
