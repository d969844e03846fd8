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
from projections.retention.apply_history import drop_sums, pack_month, take_rows
from projections.retention.audit import Journal
from projections.retention.errors import StepRefusedError
from projections.retention.inventory import Stores
from projections.retention.log_begin import cut
from projections.retention.postgres import Session, session
from projections.retention.steps import (
    AnyStep,
    CutLog,
    DeleteFile,
    DeleteRows,
    DeleteSegment,
    DropMonth,
    DropSums,
    PackMonth,
    PackSegments,
    Plan,
)

_ALONE = "SELECT pg_try_advisory_lock(hashtext('interlock retention'), hashtext(current_schema()))"


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

    HistoryUnavailableError and LogUnavailableError end it where it is: a later run goes on from there.
    """
    await asyncio.to_thread(_sweep, stores)
    await journal.end_interrupted(plan)
    outcomes = []
    async with _Hands(stores) as hands:
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
    """Does what steps say. Connects to Postgres with the first step that needs it."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._resources = AsyncExitStack()
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
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
                return await take_rows(await self._history(), step, stores.archive, stores.retention.exports)
            case DropSums():
                return await drop_sums(await self._history(), step)
            case PackMonth():
                return await pack_month(await self._history(), step)
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

    async def _history(self) -> Session:
        if self._session is None:
            opened = session(self._stores.history, self._stores.retention)
            connection = await self._resources.enter_async_context(opened)
            # Held until the session ends, however it ends.
            if not await connection.fetchval(_ALONE):
                raise StepRefusedError("another `interlock retention apply` is at work on this history")
            self._session = connection
        return self._session


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
