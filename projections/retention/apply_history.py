"""Steps on the history, carried out: each is one transaction, checked again under the lock it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg

from events.positions import Partition
from projections.archive.avro_file import DamagedFileError
from projections.archive.chain import read_chain
from projections.archive.manifest import Manifest
from projections.archive.reading import open_file
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.history.tables import derive_tables
from projections.retention.errors import StepRefusedError
from projections.retention.parquet import export
from projections.retention.policy import Action
from projections.retention.postgres import PACKED, Session
from projections.retention.selection import Selection, Span
from projections.retention.selection_sql import Where, refused_of, where_of
from projections.retention.shelves import PARQUET
from projections.retention.steps import DeleteRefused, DeleteRows, DropMonth, DropSums, PackMonth

LOCK_TRIES = 20
LOCK_PAUSE_S = 0.25
EXPORT_TRIES = 3

_PARENT = """
    SELECT parent.relname FROM pg_inherits JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE inhrelid = to_regclass($1)
"""


class RowsCameError(StepRefusedError):
    """There are other rows than were exported: export again."""


async def take_rows(
    connection: Session, step: DropMonth | DeleteRows, archive: ArchiveSettings, exports: Path | None
) -> int:
    """Drop the month, or delete its rows, after what the action does before; how many rows went.

    StepRefusedError when the month no longer is as planned. A month that is gone already has no rows.
    """
    if not await _is_there(connection, step.table):
        return 0
    if step.action is Action.ARCHIVE:
        await asyncio.to_thread(_verify_archive, archive, step.topic, step.selection)
    for _ in range(EXPORT_TRIES):
        exported = await _exported(connection, step, exports) if step.action is Action.EXPORT else None
        try:
            return await _unblocked(lambda: _take(connection, step, exported))  # noqa: B023 - awaited here
        except RowsCameError:
            continue
    raise StepRefusedError(f"{step.table} is being written: try again later")


async def delete_refused(connection: Session, step: DeleteRefused) -> int:
    """Delete records that were no events; how many went."""
    where, safe = refused_of(step.selection)

    async def deleted() -> int:
        done = await connection.execute(
            f"DELETE FROM refused WHERE {where.text} AND {safe}", *where.arguments
        )
        return int(done.split()[1])

    return await _unblocked(deleted)


async def drop_sums(connection: Session, step: DropSums) -> int:
    """Drop a month of rollups; how many rows went."""
    if not await _is_there(connection, step.table):
        return 0

    async def dropped() -> int:
        async with connection.transaction():
            rows = await connection.fetchval(f"SELECT count(*) FROM {step.table}")
            await _drop(connection, step.table)
        return int(rows)

    return await _unblocked(dropped)


async def pack_month(connection: Session, step: PackMonth) -> int:
    """Rewrite a month without dead space. Who writes to that month waits meanwhile."""
    if not await _is_there(connection, step.table):
        return 0

    async def packed() -> int:
        await connection.execute(f"VACUUM (FULL, ANALYZE) {step.table}")
        await connection.execute(f"COMMENT ON TABLE {step.table} IS '{PACKED}'")
        return step.rows

    return await _unblocked(packed)


def export_file(exports: Path, step: DropMonth | DeleteRows) -> Path:
    """Where a step's rows are exported to: the same for the same step, so that a second try replaces the first."""
    return exports / step.topic / f"{step.table}-{step.step_id[:8]}{PARQUET}"


async def _unblocked(work: Callable[[], Awaitable[int]]) -> int:
    """The work's rows; tried again while somebody writes to the table, for a bounded time."""
    for _ in range(LOCK_TRIES):
        try:
            return await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(LOCK_PAUSE_S)
    raise StepRefusedError("a table of the history is written without a pause: try again later")


async def _is_there(connection: Session, table: str) -> bool:
    return await connection.fetchval("SELECT to_regclass($1)", table) is not None


async def _exported(connection: Session, step: DropMonth | DeleteRows, exports: Path | None) -> int:
    if exports is None:
        raise StepRefusedError("there is no folder to export to: set INTERLOCK_RETENTION__EXPORTS")
    table = derive_tables()[step.topic]
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await export(
            connection, table, step.table, where_of(step.selection), export_file(exports, step)
        )


async def _take(connection: Session, step: DropMonth | DeleteRows, exported: int | None) -> int:
    where = where_of(step.selection)
    async with connection.transaction():
        # Nobody adds to the month from here on; who reads it, and who writes to other months, is not held up.
        await connection.execute(f"LOCK TABLE {step.table} IN SHARE ROW EXCLUSIVE MODE")
        if step.action is Action.AGGREGATE_THEN_DELETE:
            await _check_sums(connection, step.table, where)
        if isinstance(step, DropMonth):
            rows = await _drop_month(connection, step, where)
        else:
            rows = int(
                (
                    await connection.execute(f"DELETE FROM {step.table} WHERE {where.text}", *where.arguments)
                ).split()[1]
            )
        if exported is not None and rows != exported:
            raise RowsCameError(f"{exported} rows of {step.table} were exported, and {rows} are there")
    return rows


async def _drop_month(connection: Session, step: DropMonth, where: Where) -> int:
    """Only if there is no row that the plan would not take: late ones may have come since."""
    found = await connection.fetchrow(
        f"SELECT count(*) AS rows, count(*) FILTER (WHERE {where.text}) AS taken FROM {step.table}",
        *where.arguments,
    )
    assert found is not None
    if found["rows"] != found["taken"]:
        raise StepRefusedError(
            f"{found['rows'] - found['taken']} rows of {step.table} came after it was planned: plan again"
        )
    await _drop(connection, step.table)
    return int(found["rows"])


async def _drop(connection: Session, table: str) -> None:
    parent = await connection.fetchval(_PARENT, table)
    if parent is not None:
        await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {table}")
    await connection.execute(f"DROP TABLE {table}")


async def _check_sums(connection: Session, table: str, where: Where) -> None:
    """The rollups hold at least the calls of every day whose rows go: else they are not yet all that is left of them."""
    missing = await connection.fetchrow(
        f"SELECT day, rows, coalesce(calls, 0)::bigint AS calls FROM ("
        f"  SELECT date_trunc('day', occurred_at) AS day, count(*) AS rows FROM {table} WHERE {where.text} GROUP BY 1"
        f") AS raw LEFT JOIN ("
        f"  SELECT bucket AS day, sum(calls) AS calls FROM usage_by_day GROUP BY 1"
        f") AS sums USING (day) WHERE coalesce(calls, 0) < rows ORDER BY day LIMIT 1",
        *where.arguments,
    )
    if missing is not None:
        raise StepRefusedError(
            f"the rollups have {missing['calls']} calls of {missing['day']:%Y-%m-%d}, and {table} has {missing['rows']}: "
            "build the history anew before its rows go"
        )


def _verify_archive(archive: ArchiveSettings, topic: str, selection: Selection) -> None:
    """Read every segment that the rows lie in, and hold it to its SHA-256."""
    for shelf, manifest in _segments(archive, topic, selection):
        for file in manifest.files:
            try:
                open_file(shelf, file)
            except (DamagedFileError, OSError) as error:
                raise StepRefusedError(
                    f"the archive does not hold it: {error}; run `interlock archive verify`"
                ) from None


def _segments(archive: ArchiveSettings, topic: str, selection: Selection) -> Iterator[tuple[Shelf, Manifest]]:
    if archive.folder is None:
        raise StepRefusedError("there is no archive: set INTERLOCK_ARCHIVE__FOLDER")
    for number, span in selection.spans:
        shelf = Shelf(archive.folder, Partition(topic, number))
        for manifest in read_chain(shelf).segments:
            if _touch(Span(manifest.first_offset, manifest.next_offset), span):
                yield shelf, manifest


def _touch(left: Span, right: Span) -> bool:
    return left.start < right.end and right.start < left.end
