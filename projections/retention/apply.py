"""A plan carried out, step by step: announced, done, ended. Killed anywhere, the next run goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self, assert_never

from events.action_audited import AuditResult
from projections.archive.chain import read_chain
from projections.archive.compact import compact_partition
from projections.archive.layout import places_in
from projections.archive.shelf import Shelf
from projections.errors import StaleCheckpointError
from projections.retention.apply_history import (
    LOCK_PAUSE_S,
    LOCK_TRIES,
    delete_refused,
    drop_sums,
    pack_month,
    take_rows,
)
from projections.retention.audit import Journal
from projections.retention.errors import BusyError, StepRefusedError
from projections.retention.inventory import Stores
from projections.retention.log_begin import cut
from projections.retention.postgres import Session, session
from projections.retention.steps import (
    AnyStep,
    CutLog,
    DeleteFile,
    DeleteRefused,
    DeleteRows,
    DeleteSegment,
    DropMonth,
    DropSums,
    PackMonth,
    PackSegments,
    Plan,
)

ALONE = "SELECT pg_try_advisory_lock(hashtext('interlock retention'), hashtext(current_schema()))"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one step: the rows that went, or why not."""

    step: AnyStep
    result: AuditResult
    rows: int
    detail: str


async def apply(
    stores: Stores, plan: Plan, journal: Journal, progress: Callable[[Outcome], None]
) -> list[Outcome]:
    """Carry the plan out. A step that no longer holds is refused and the others go on.

    HistoryUnavailableError and LogUnavailableError end it where it is: a later run goes on from there. BusyError when
    another is at work.
    """
    outcomes = []
    async with _Hands(stores) as hands:
        await asyncio.to_thread(_sweep, stores)
        await journal.end_interrupted(plan)
        for step in plan.steps:
            await journal.started(step)
            outcome = await _carried_out(hands, step)
            await journal.ended(step, outcome.result, outcome.rows, outcome.detail)
            outcomes.append(outcome)
            progress(outcome)
    return outcomes


async def _carried_out(hands: _Hands, step: AnyStep) -> Outcome:
    try:
        rows = await hands.carry_out(step)
    except (StepRefusedError, StaleCheckpointError) as error:
        return Outcome(step, AuditResult.REFUSED, 0, str(error))
    except OSError as error:
        return Outcome(step, AuditResult.FAILED, 0, f"the disk did not take it: {error}")
    return Outcome(step, AuditResult.DONE, rows, f"{rows} rows")


class _Hands:
    """Does what steps say. Nobody else does so to the same history meanwhile."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._resources = AsyncExitStack()
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        if self._stores.history.postgres_dsn is not None:
            opened = session(self._stores.history, self._stores.retention)
            self._session = await self._resources.enter_async_context(opened)
            try:
                await _be_alone(self._session)
            except BaseException:
                await self._resources.aclose()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._resources.__aexit__(kind, error, trace)

    async def carry_out(self, step: AnyStep) -> int:
        """Do it, or find it done; how many rows went."""
        stores = self._stores
        match step:
            case DropMonth() | DeleteRows():
                return await take_rows(self._history, step, stores.archive, stores.retention.exports)
            case DeleteRefused():
                return await delete_refused(self._history, step)
            case DropSums():
                return await drop_sums(self._history, step)
            case PackMonth():
                return await pack_month(self._history, step)
            case CutLog():
                await cut(stores.log, step.place, step.before)
            case DeleteSegment():
                await asyncio.to_thread(_retire, stores, step)
            case PackSegments():
                await asyncio.to_thread(_pack, stores, step)
            case DeleteFile():
                await asyncio.to_thread(step.path.unlink, missing_ok=True)
            case _:
                assert_never(step)
        return step.rows

    @property
    def _history(self) -> Session:
        if self._session is None:
            raise StepRefusedError("no history is configured: set INTERLOCK_HISTORY__POSTGRES_DSN")
        return self._session


async def _be_alone(connection: Session) -> None:
    """Take the lock of all applies to this history; it is held until the session ends, however it ends."""
    for _ in range(LOCK_TRIES):
        if await connection.fetchval(ALONE):
            return
        await asyncio.sleep(LOCK_PAUSE_S)
    raise BusyError("another `interlock retention apply` is at work on this history: wait for it")


def _sweep(stores: Stores) -> None:
    """Segments whose retirement was interrupted."""
    for shelf in _shelves(stores):
        shelf.sweep()


def _shelves(stores: Stores) -> Iterator[Shelf]:
    folder = stores.archive.folder
    if folder is not None:
        yield from (Shelf(folder, place) for place in places_in(folder))


def _retire(stores: Stores, step: DeleteSegment) -> None:
    for shelf in _shelves(stores):
        if shelf.place == step.place and shelf.begin().next_offset <= step.span.start:
            oldest = read_chain(shelf).segments[0]
            if oldest.first_offset != step.span.start or oldest.next_offset != step.span.end:
                raise StepRefusedError(f"{step.subject} is not the oldest segment any more: plan again")
            shelf.retire(oldest)


def _pack(stores: Stores, step: PackSegments) -> None:
    with ThreadPoolExecutor(2, "retention-compressor") as compressor:
        for shelf in _shelves(stores):
            if shelf.place == step.place:
                packed = compact_partition(shelf, stores.archive, compressor)
                if packed.refused:
                    raise StepRefusedError(f"{step.subject} is not packed: {packed.refused}")
