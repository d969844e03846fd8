"""The slots that a worker owns: follows the assignment of the consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import faust
import structlog
from faust.types import TP

from events.positions import Partition
from processors import metrics
from processors.backlog import Fetched
from processors.batching import RecordBatch, consumer_of
from processors.fold import FoldFactory
from processors.slot_runner import Ports, SlotRunner
from processors.slot_task import SlotTask
from projections.errors import BrokenInvariantError
from projections.live.slots import TOPICS_OF_LEAD, Slot, slot_of_partition

CLOSED_WITHIN_S = 5.0
"""A task that has not ended by then can change nothing more once another owner has taken its slot."""

_log = structlog.get_logger(__name__)


class SlotTable:
    """The slots that this worker owns, one task each; follows the assignment of the consumer group."""

    def __init__(self, app: faust.App, ports: Ports, folds: Mapping[str, FoldFactory]) -> None:
        self._app = app
        self._ports = ports
        self._folds = folds
        self._tasks: dict[Slot, tuple[SlotTask, asyncio.Task[None]]] = {}
        self._crash: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def owned(self) -> tuple[Slot, ...]:
        """The slots of this worker now."""
        return tuple(self._tasks)

    async def on_assigned(self, partitions: set[TP]) -> None:
        """Give up the slots that went to others and open the new ones."""
        if self._closed:
            return
        wanted = {self._slot_of(tp) for tp in partitions}
        await self._close(set(self._tasks) - wanted)
        for slot in sorted(wanted - set(self._tasks), key=str):
            self._hold(slot)
            runner = SlotRunner(slot, self._folds[slot.lead], self._ports)
            task = SlotTask(runner, self._position, self._hold)
            running = asyncio.create_task(task.run(), name=f"slot {slot}")
            running.add_done_callback(self._on_done)
            self._tasks[slot] = task, running
        for slot in wanted & set(self._tasks):
            if slot in self._tasks and self._tasks[slot][0].runner.is_open:
                await self._position(slot, self._tasks[slot][0].runner.next_offsets)
        metrics.SLOTS.set(len(self._tasks))

    async def on_revoked(self, partitions: set[TP]) -> None:
        """Give up slots before the group gives them to others."""
        await self._close({self._slot_of(tp) for tp in partitions} & set(self._tasks))
        metrics.SLOTS.set(len(self._tasks))

    async def put(self, event: Any) -> None:
        """Hand a batch to its slot's task; waits while its backlog is full. One of a lost slot is let go."""
        batch: RecordBatch = event.value
        slot = self._slot_of(TP(batch.topic, batch.partition))
        held = self._tasks.get(slot)
        if held is None:
            return
        task, running = held
        fetched = Fetched(self._short(batch.topic), batch, event.ack)
        if not task.backlog.is_full:
            await task.backlog.put(fetched)
            return
        putting = asyncio.ensure_future(task.backlog.put(fetched))
        await asyncio.wait((putting, running), return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    async def close(self) -> None:
        """Give up everything, for good."""
        self._closed = True
        await self._close(set(self._tasks))

    async def _close(self, slots: Iterable[Slot]) -> None:
        closing = [self._tasks.pop(slot) for slot in slots]
        for _, running in closing:
            running.cancel()
        if closing:
            await asyncio.wait([running for _, running in closing], timeout=CLOSED_WITHIN_S)
        for task, _ in closing:
            task.backlog.clear()

    def _on_done(self, running: asyncio.Task[None]) -> None:
        error: BaseException | None = None
        if not running.cancelled():
            error = running.exception()
        elif any(held is running for _, held in self._tasks.values()):
            error = BrokenInvariantError(f"{running.get_name()} was cancelled by nobody who may")
        if error is not None:
            _log.error("worker stops", why=str(error))
            self._crash = asyncio.ensure_future(self._app.crash(error))

    async def _position(self, slot: Slot, offsets: Mapping[str, int]) -> None:
        await consumer_of(self._app).resume_at(
            {
                TP(self._ports.settings.full_name(topic), slot.partition): offset
                for topic, offset in offsets.items()
            }
        )

    def _hold(self, slot: Slot) -> None:
        consumer_of(self._app).hold(
            TP(self._ports.settings.full_name(topic), slot.partition) for topic in TOPICS_OF_LEAD[slot.lead]
        )

    def _short(self, full_name: str) -> str:
        return self._ports.settings.short_name(full_name)

    def _slot_of(self, tp: TP) -> Slot:
        return slot_of_partition(Partition(self._short(tp.topic), tp.partition))
