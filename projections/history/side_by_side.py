"""The history that is live now beside the one before, table by table and month by month, as both were at the switch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from projections.history.beside import before_of
from projections.history.months import EVENT_TABLES, ROLLUP_TABLES
from projections.history.session import Session, session_of
from projections.history.settings import HistorySettings

_TIME = dict.fromkeys(EVENT_TABLES, "occurred_at") | dict.fromkeys(ROLLUP_TABLES, "bucket")
_TIMES = _TIME | {"refused": "appended_at"}

_Held = dict[str, tuple[int, int]]
"""By month: how many rows, and a digest that does not depend on their order."""


@dataclass(frozen=True, slots=True)
class MonthCompared:
    """A month of a table: rows before and now, and whether each is the same."""

    table: str
    month: str
    before: int
    now: int
    is_equal: bool


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One snapshot of both schemas."""

    session: Session
    settings: HistorySettings

    async def begin(self) -> None:
        """What is compared is of this instant, under whatever names the schemas have later."""
        await self.session.execute("SELECT pg_current_snapshot()")

    async def months(self) -> list[MonthCompared]:
        """After the switch: what the live schema has, beside the one before. Both held equal rows where `is_equal`."""
        live, before = self.settings.schema_name, before_of(self.settings).schema_name
        found = []
        for table, time in _TIMES.items():
            new, old = await self._held(live, table, time), await self._held(before, table, time)
            for month in sorted(new.keys() | old.keys()):
                held, was = new.get(month, (0, 0)), old.get(month, (0, 0))
                found.append(MonthCompared(table, month, was[0], held[0], held == was))
        return found

    async def _held(self, schema: str, table: str, time: str) -> _Held:
        if not await self.session.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{schema}".{table}'):
            return {}
        rows = await self.session.fetch(
            f"SELECT to_char({time}, 'YYYY-MM') AS month, count(*) AS rows, "
            f'bit_xor(hashtextextended(one::text, 0)) AS digest FROM "{schema}".{table} AS one GROUP BY 1'
        )
        return {row["month"]: (row["rows"], row["digest"]) for row in rows}


@asynccontextmanager
async def side_by_side(settings: HistorySettings) -> AsyncIterator[SideBySide]:
    """A read-only transaction, whose snapshot is taken by `begin`."""
    async with (
        session_of(settings, "interlock-compare") as session,
        session.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield SideBySide(session, settings)
