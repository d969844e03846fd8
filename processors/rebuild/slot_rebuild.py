"""One slot of the new generation: folded from the log up to a target by the runner and the folds of the workers."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from events.reader import LogRecord, Range
from processors.batching import RecordBatch
from processors.fold import FoldFactory
from processors.rebuild.bad_records import Unguarded
from processors.rebuild.errors import LiveWentBackError, LogEndsEarlyError
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.pace import Pace
from processors.rebuild.progress import Progress
from processors.rebuild.target import Target
from processors.retry import until_done
from processors.slot_runner import OutOfStepError, Ports, SlotRunner
from projections.errors import StaleCheckpointError
from projections.live.slots import TOPICS_OF_LEAD, Slot

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SlotRebuild:
    """Comes nearer to the live slot with each `reach`. All below the target was decided: it is applied, not decided."""

    slot: Slot
    new_fold: FoldFactory
    ports: Ports
    past: KeptPast
    pace: Pace
    progress: Progress
    _reached: Target | None = field(init=False, default=None)

    async def reach(self, target: Target) -> None:
        """Fold and commit up to exactly the target. What was committed before is not folded again.

        A new generation that is flushed meanwhile is begun anew.
        """
        while self._reached is None or self._reached.next_offsets != target.next_offsets:
            try:
                await self._fold(target)
                await self._keep_hints(target)
                self._reached = target
            except BaseException as error:
                self.past.forget()
                if not isinstance(error, StaleCheckpointError):
                    raise
                _log.warning("the new generation was changed by others: loading it anew", why=str(error))

    async def look_again(self) -> None:
        """Ask the store whether what was reached is still there: it may have been flushed."""
        held = (await until_done("live", lambda: self.ports.store.checkpoints((self.slot,))))[self.slot]
        if self._reached is not None and held.next_offsets != self._reached.next_offsets:
            self._reached = None
            self.past.forget()

    async def _fold(self, target: Target) -> None:
        async def committed(topic: str, _: int) -> int:
            return target.next_offsets.get(topic, 0)

        ports = replace(self.ports, committed=committed, acknowledge=_nobody_to_tell)
        runner = SlotRunner(self.slot, self.new_fold, ports, Unguarded())
        await runner.open()
        # Few records first: settings and overrides, then what they are about.
        for topic in reversed(TOPICS_OF_LEAD[self.slot.lead]):
            await self._read(runner, topic, target.next_offsets.get(topic, 0))
        self.past.came_to(runner.next_offsets)

    async def _read(self, runner: SlotRunner, topic: str, end: int) -> None:
        number = self.slot.partition
        wanted = {number: Range(runner.next_offsets[topic], end)}
        self.progress.at(self.slot, topic, runner.next_offsets[topic])
        async with aclosing(self.ports.reader.read(topic, wanted)) as batches:
            async for _, records in batches:
                await self._apply(runner, topic, records)
        if runner.next_offsets[topic] < end:
            raise LogEndsEarlyError(
                f"{topic}-{number} gives no records from {runner.next_offsets[topic]} to {end}, which the live generation "
                "has folded: is this the log that it was folded from?"
            )
        if runner.next_offsets[topic] > end:
            raise LiveWentBackError(
                f"the new generation is at {runner.next_offsets[topic]} of {topic}-{number}, beyond the live one, which is at "
                f"{end}: the live one went back; begin again with --anew"
            )

    async def _apply(self, runner: SlotRunner, topic: str, records: list[LogRecord]) -> None:
        full_name, number = self.ports.settings.full_name(topic), self.slot.partition
        step = self.pace.most(len(records))
        for first in range(0, len(records), step):
            batch = RecordBatch(full_name, number, records[first : first + step])
            await self.pace.take(len(batch.records))
            try:
                await runner.apply(topic, batch)
            except OutOfStepError:
                # Asked a second time, the runner looks itself for what lies between, and passes over what is gone.
                await runner.apply(topic, batch)
            self.progress.at(self.slot, topic, runner.next_offsets[topic])

    async def _keep_hints(self, target: Target) -> None:
        """Where the next owner looks for derived events: at this position it is the same place as for the live slot."""
        store = self.ports.store
        lease = await until_done("live", partial(store.acquire, self.slot, self.ports.owner))
        if target.hints:
            await until_done("live", lambda: store.published(lease, 0, target.hints))


def _nobody_to_tell(topic: str, partition: int, offset: int) -> None:
    """The group hears of positions from the workers only."""
