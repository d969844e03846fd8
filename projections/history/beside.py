"""Schemas of the history beside the live one: the one that is built, and the one that was live before.

Who holds a `Beside` is alone in building, switching and filling: an advisory lock of its session says so, and ends with the session.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from zlib import crc32

from events.positions import Partition
from projections.errors import SchemaBusyError
from projections.history import checkpoints, months
from projections.history.grants import grant_alike
from projections.history.migrations import migrate
from projections.history.session import AWAY, Session, session_of
from projections.history.settings import HistorySettings
from projections.history.tables import table_name
from projections.made_with import MadeWith

_REBUILD = (
    0x72656275  # "rebu": the advisory lock of those who build or switch, with a key of the schema's name
)
_LOCK_WAITS = 2
"""Times `write_timeout_s`: what a sink is writing has ended by then."""
_HOLDER = """
    SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2
"""


def next_of(settings: HistorySettings) -> HistorySettings:
    """The schema that is being built."""
    return settings.model_copy(update={"schema_name": f"{settings.schema_name}_next"})


def before_of(settings: HistorySettings) -> HistorySettings:
    """The schema that was live before the last switch."""
    return settings.model_copy(update={"schema_name": f"{settings.schema_name}_before"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the new schema has refused and the live one has not."""

    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Beside:
    """The live schema and those beside it, by one session."""

    session: Session
    settings: HistorySettings

    @property
    def live(self) -> str:
        """Name of the live schema; the others' follow from it."""
        return self.settings.schema_name

    @property
    def built(self) -> str:
        return next_of(self.settings).schema_name

    @property
    def before(self) -> str:
        return before_of(self.settings).schema_name

    async def is_there(self, schema: str) -> bool:
        """Whether a schema of that name holds a history."""
        return bool(
            await self.session.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{schema}".checkpoints')
        )

    async def positions(self, schema: str) -> dict[Partition, int]:
        """The next offset of each partition; none when there is no history of that name."""
        if not await self.is_there(schema):
            return {}
        rows = await self.session.fetch(f'SELECT topic, partition, next_offset FROM "{schema}".checkpoints')
        return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def appended_us(self, place: Partition, offset: int) -> int | None:
        """When a record was appended, microseconds, if the live history has it as a row or refused."""
        found = await self.session.fetchval(
            f'SELECT appended_at FROM "{self.live}".{table_name(place.topic)} WHERE log_partition = $2 AND log_offset = $3 '
            f'UNION ALL SELECT appended_at FROM "{self.live}".refused '
            "WHERE topic = $1 AND log_partition = $2 AND log_offset = $3",
            *(place.topic, place.number, offset),
        )
        return None if found is None else int(found.timestamp() * 1_000_000)

    async def made_with(self, schema: str) -> MadeWith | None:
        """What a schema was begun with; None when there is no history of that name."""
        if not await self.is_there(schema):
            return None
        return await checkpoints.made_with(self.session, f'"{schema}".checkpoints')

    async def identity(self, schema: str) -> str:
        """Which schema goes by that name now: it keeps this when its name changes. Empty: none."""
        oid = await self.session.fetchval("SELECT oid::bigint FROM pg_namespace WHERE nspname = $1", schema)
        return "" if oid is None else str(oid)

    async def newly_refused(self, place: Partition, start: int) -> list[Refusal]:
        """What the schema being built has refused from an offset on, and the live one has not."""
        known = (
            f'AND NOT EXISTS (SELECT FROM "{self.live}".refused AS old WHERE old.topic = new.topic '
            "AND old.log_partition = new.log_partition AND old.log_offset = new.log_offset)"
        )
        rows = await self.session.fetch(
            f'SELECT log_offset, reason, detail FROM "{self.built}".refused AS new WHERE topic = $1 '
            f"AND log_partition = $2 AND log_offset >= $3 {known if await self.is_there(self.live) else ''} "
            "ORDER BY log_offset",
            *(place.topic, place.number, start),
        )
        return [Refusal(row["log_offset"], row["reason"], row["detail"]) for row in rows]

    async def drop(self, schema: str) -> None:
        """Delete a schema with all that is in it, if there is one."""
        await self.session.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')

    async def analyze(self, schema: str) -> None:
        """Have the planner know the tables of a schema, before anybody asks them."""
        for table in (*months.EVENT_TABLES, *months.ROLLUP_TABLES):
            await self.session.execute(f'ANALYZE "{schema}".{table}')

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[dict[Partition, int]]:
        """Nobody writes the live schema inside, nor changes any; its positions. What is switched takes effect at the end.

        Sinks wait: each of their transactions begins with the checkpoint. Readers do not.
        """
        wait_ms = int(_LOCK_WAITS * self.settings.write_timeout_s * 1000)
        async with self.session.transaction():
            await self.session.execute(f"SET LOCAL lock_timeout = {wait_ms}")
            await self.session.execute("SELECT pg_advisory_xact_lock($1)", migrate.ONE_AT_A_TIME)
            if await self.is_there(self.live):
                await self.session.execute(f'LOCK TABLE "{self.live}".checkpoints IN EXCLUSIVE MODE')
            yield await self.positions(self.live)

    async def make_live(self) -> None:
        """While standing still: the live schema becomes the one before, and the built one live.

        None of the name of the one before may be there. Who could read the one can read the other.
        """
        await grant_alike(self.session, self.live, self.built)
        await self._rename(((self.live, self.before), (self.built, self.live)), self.built)

    async def turn_back(self) -> None:
        """While standing still: the live schema and the one before change places."""
        aside = f"{self.live}_aside"
        names = ((self.live, aside), (self.before, self.live), (aside, self.before))
        await self._rename(names, self.before)

    async def _rename(self, names: Iterable[tuple[str, str]], chosen: str) -> None:
        """Every sink finds a later epoch in the chosen one, so it opens anew and forgets what it remembers of the other."""
        await self.session.execute("SELECT pg_advisory_xact_lock($1)", months.ONE_AT_A_TIME)
        epochs = "epoch"
        if await self.is_there(self.live):
            epochs = (
                f'greatest(epoch, (SELECT epoch FROM "{self.live}".checkpoints AS old '
                "WHERE (old.topic, old.partition) = (mine.topic, mine.partition)))"
            )
        await self.session.execute(f'UPDATE "{chosen}".checkpoints AS mine SET epoch = {epochs} + 1')
        for old, new in names:
            if await self.session.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{old}"'):
                await self.session.execute(f'ALTER SCHEMA "{old}" RENAME TO "{new}"')


@asynccontextmanager
async def beside(settings: HistorySettings, command: str = "rebuild") -> AsyncIterator[Beside]:
    """Be the one who builds, switches or fills. SchemaBusyError when somebody else does, who is told `command`.

    SinkUnavailableError without Postgres.
    """
    key = crc32(settings.schema_name.encode()) >> 1
    async with session_of(
        settings, f"interlock-{command}, process {os.getpid()} on {socket.gethostname()}"
    ) as session:
        if not await session.fetchval("SELECT pg_try_advisory_lock($1::integer, $2::integer)", _REBUILD, key):
            holder = await session.fetchrow(_HOLDER, _REBUILD, key)
            told = (
                "ended just now" if holder is None else f"{holder[0]}, since {holder[1]:%Y-%m-%dT%H:%M:%SZ}"
            )
            raise SchemaBusyError(
                f"another command works on the schema {settings.schema_name}: {told}; wait until it has ended, and try again"
            )
        try:
            yield Beside(session, settings)
        finally:  # at once, not when the server has noticed the end of the session
            with suppress(*AWAY):
                unlock = "SELECT pg_advisory_unlock($1::integer, $2::integer)"
                await session.execute(unlock, _REBUILD, key, timeout=settings.connect_timeout_s)
