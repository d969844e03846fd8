"""The owner of one slot: folds its batches in order, commits state and checkpoint together, publishes the outbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import structlog

from events.codec import Codec
from events.dead_letters import letters_of
from events.envelope import Event
from events.positions import Partition, Position, vector_of
from events.publisher import Encoded
from events.reader import LogReader, Range
from events.settings import LogSettings
from processors import metrics
from processors.batching import RecordBatch
from processors.decisions import Decisions
from processors.fold import Fold, FoldFactory, Opening, Step
from processors.poison import PoisonGuard
from processors.retry import until_done
from projections.errors import BrokenInvariantError, LogReplacedError
from projections.live.commit import Commit, Lease
from projections.live.outbox import OutboxEntry
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.tip import Tip, is_elsewhere, tip_at, tip_of

T = TypeVar("T")

LETTERS_AT_ONCE = 16
"""Appended together; each has at most 40 KiB."""

ANSWERED_SOON_S = 1.0
"""A commit that took longer may be gone by the time that its owner hears of it."""

_log = structlog.get_logger(__name__)


class OutOfStepError(Exception):
    """A batch begins after the checkpoint: fetch again from `offset`, to tell a hole in the log from a late fetch."""

    def __init__(self, topic: str, offset: int) -> None:
        super().__init__(f"the batch of {topic} begins after the checkpoint {offset}")
        self.topic = topic
        self.offset = offset


class Appends(Protocol):
    """Where dead letters and derived events go: `events.publisher.Publisher`, and what a rebuild has in its place."""

    async def append(self, events: Sequence[Event]) -> list[Position]:
        """Append events; the position after each."""
        ...

    async def append_encoded(self, records: Sequence[Encoded]) -> list[Position]:
        """Append records as they are; the position after each."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a runner needs of the world."""

    settings: LogSettings
    codec: Codec
    store: LiveStore
    publisher: Appends
    reader: LogReader
    owner: str
    committed: Callable[[str, int], Awaitable[int]]
    """Next offset that the consumer group has acknowledged of a topic's partition; 0 when none."""
    acknowledge: Callable[[str, int, int], None]
    """Tell the group, soon, the next offset of a topic's partition. It never moves back."""


@dataclass(slots=True)
class SlotRunner:
    """One slot in the hands of this worker. Not started twice; `open` may be called again to begin anew."""

    slot: Slot
    new_fold: FoldFactory
    ports: Ports
    guard: PoisonGuard = field(default_factory=PoisonGuard)
    _fold: Fold = field(init=False)
    _lease: Lease = field(init=False)
    _next: dict[str, int] = field(init=False, default_factory=dict)
    _tips: dict[str, Tip] = field(init=False, default_factory=dict)
    _outbox_seq: int = field(init=False, default=0)
    _decided_to: dict[str, int] = field(init=False, default_factory=dict)
    _ends: dict[str, int] = field(init=False, default_factory=dict)
    _hole: tuple[str, int, int] | None = field(init=False, default=None)
    _decisions: Decisions = field(init=False)
    is_open: bool = field(init=False, default=False)

    async def open(self) -> Mapping[str, int]:
        """Take the slot over and load it; the next offset to read of each of its topics.

        Derived events that the last owner committed but did not see acknowledged are published first.
        """
        self._decisions = Decisions(self.slot, self.ports.codec, self.ports.reader)
        lease = await self._acquire()
        held = await until_done("log", self._held)
        self._ends = {topic: on_log.end for topic, on_log in held.items()}
        if await until_done("log", lambda: self._is_other_log(lease, held)):
            # What the checkpoints stand for is gone with the log that they speak of: begin anew.
            _log.warning(
                "the log was replaced: slot begins anew", slot=str(self.slot), held=lease.next_offsets
            )
            await until_done("live", lambda: self.ports.store.wipe(self.slot))
            lease = await self._acquire()
        self._lease, self._tips = lease, dict(lease.tips)
        self._next = {topic: lease.next_offsets.get(topic, 0) for topic in self._ends}
        self._outbox_seq = lease.outbox_seq
        if lease.outbox:  # asking the log may have taken long
            await until_done("live", lambda: self.ports.store.check(lease))
        told = await until_done("log", lambda: self._decisions.told_of(lease.outbox))
        await self._publish(lease.outbox, told)
        for topic, on_log in held.items():
            if self._next[topic] < on_log.start == on_log.end:
                await self._pass_over(topic, on_log.end)
        self._decided_to = await until_done("log", self._committed)
        await self._decisions.begin()
        self._fold = await until_done("log", lambda: self._trusted(self._opened_fold()))
        if self._fold.overruled and await self._begins_anew(held):
            return await self.open()
        await self._keep(self._fold.take_writes())
        for topic, offset in self._next.items():
            self.ports.acknowledge(topic, self.slot.partition, offset)
        _log.info("slot opened", slot=str(self.slot), epoch=lease.epoch, next=self._next)
        self.is_open = self._decisions.is_watched = True
        return dict(self._next)

    @property
    def next_offsets(self) -> Mapping[str, int]:
        """The next offset to read of each topic."""
        return self._next

    async def _is_other_log(self, lease: Lease, held: Mapping[str, Range]) -> bool:
        """Whether it ends before a checkpoint, or has another record where the last one was folded. One that is gone tells nothing."""
        if any(offset > self._ends.get(topic, 0) for topic, offset in lease.next_offsets.items()):
            return True
        tips = {topic: tip for topic, tip in lease.tips.items() if held[topic].start <= tip.offset}
        places = [(Partition(topic, self.slot.partition), tip.offset) for topic, tip in tips.items()]
        there = await asyncio.gather(*(tip_at(self.ports.reader, *place) for place in places))
        return any(found not in {None, tip} for found, tip in zip(there, tips.values(), strict=True))

    async def _acquire(self) -> Lease:
        return await until_done("live", lambda: self.ports.store.acquire(self.slot, self.ports.owner))

    async def _opened_fold(self) -> Fold:
        fold = self.new_fold(self.slot)
        await fold.open(Opening(self._lease, self._next, self._decided_to, self._ends))
        return fold

    async def _keep(self, found: Mapping[str, bytes | None]) -> None:
        """Commit what opening has found on the log: an idle slot would else show it with its next record only."""
        if found:
            commit = Commit({}, found, [], self._lease.clock_us)
            await until_done("live", lambda: self.ports.store.commit(self._lease, commit))

    async def _begins_anew(self, held: Mapping[str, Range]) -> bool:
        """Forget a state that follows from a decision that came too late, if the log can give it again."""
        metrics.OVERRULED.inc(len(self._fold.overruled))
        whole = not any(on_log.start for on_log in held.values())
        tell = _log.warning if whole else _log.error
        advice = "slot begins anew" if whole else "run `interlock rebuild live --archive`"
        tell(f"others had decided before: {advice}", slot=str(self.slot), deployments=self._fold.overruled)
        if whole:
            await until_done("live", lambda: self.ports.store.wipe(self.slot))
        return whole

    async def _committed(self) -> dict[str, int]:
        """Below the group's committed offsets all was decided and published: they are acknowledged after that."""
        committed = {}
        for topic, end in self._ends.items():
            offset = await self.ports.committed(topic, self.slot.partition)
            of_other_log = offset > end and offset > (await self._range(topic)).end
            committed[topic] = 0 if of_other_log else offset
        return committed

    async def _held(self) -> dict[str, Range]:
        """What the log holds of each topic."""
        return {topic: await self._range(topic) for topic in TOPICS_OF_LEAD[self.slot.lead]}

    async def _range(self, topic: str) -> Range:
        return await self.ports.reader.range_of(Partition(topic, self.slot.partition))

    async def _pass_over(self, topic: str, end: int) -> None:
        """The log no longer holds anything below its end: no batch will ever bring the checkpoint there."""
        commit = Commit({topic: (self._next[topic], end)}, {}, [], self._lease.clock_us)
        await until_done("live", lambda: self.ports.store.commit(self._lease, commit))
        self._next[topic] = end

    async def apply(self, topic: str, batch: RecordBatch) -> None:
        """Fold one batch and make it durable. What was folded before is passed over.

        Raises OutOfStepError, StaleCheckpointError, FencedError or LogReplacedError when the slot has to be positioned or
        opened anew, TooManyBadRecordsError when most records are bad.
        """
        started_s = time.monotonic()
        start = self._next[topic]
        if is_elsewhere(self._tips.get(topic), batch.records):
            detail = f"before {start} of {topic}-{self.slot.partition} lies another record than was folded"
            raise LogReplacedError(detail)
        if batch.end <= start:
            return
        if batch.has_holes:
            # Whether the log has what is missing is asked as for a batch that begins too late.
            for part in batch.unbroken():
                await self.apply(topic, part)
            return
        if batch.start > start:
            await self._fill(topic, start, batch.start)
        for part in batch.cut(self._next[topic], self._decided_to[topic]):
            left = [part]
            while left:
                await self._fold_some(topic, left[0])
                left = part.cut(self._next[topic], self._next[topic])
        metrics.BATCH_S.labels(topic).observe(time.monotonic() - started_s)

    async def _fold_some(self, topic: str, batch: RecordBatch) -> None:
        """Fold and commit a batch, or as many of its first records as one step may have."""
        start = self._next[topic]
        step = await self._trusted(self._fold.apply(topic, batch))
        end = batch.end if step.end is None else step.end
        count = len(batch.records) if end == batch.end else sum(one.offset < end for one in batch.records)
        await self._refuse(topic, count, step)
        await self._commit(topic, (start, end), tip_of(batch.records[count - 1]), step)
        metrics.FOLDED.labels(topic).inc(count - step.duplicates - len(step.refused))
        metrics.DUPLICATES.labels(topic).inc(step.duplicates)

    async def _trusted(self, folding: Awaitable[T]) -> T:
        """What folding comes to. A state that cannot be may be no longer ours: read after a flush or a new owner."""
        try:
            return await folding
        except BrokenInvariantError:
            await self.check()
            raise

    async def check(self) -> None:
        """Ask whether the slot is still as this worker left it; raises as `apply` does when it is not."""
        await until_done("live", lambda: self.ports.store.check(self._lease))
        await self._decisions.look_now_and_then()

    async def _fill(self, topic: str, start: int, found: int) -> None:
        """The first time, ask for another fetch; when that begins at the same offset, read what lies between.

        What cannot be read is no longer on the log.
        """
        hole = (topic, start, found)
        if self._hole != hole:
            self._hole = hole
            raise OutOfStepError(topic, start)
        self._hole = None
        number = self.slot.partition
        async for _, records in self.ports.reader.read(topic, {number: Range(max(start - 1, 0), found)}):
            await self.apply(topic, RecordBatch(self.ports.settings.full_name(topic), number, records))
        start = self._next[topic]
        if start < found:
            _log.warning(
                "records are gone from the log", topic=topic, partition=number, start=start, end=found
            )

    async def _refuse(self, topic: str, count: int, step: Step) -> None:
        """Keep the bad ones of `count` records as dead letters before the checkpoint passes them."""
        if not step.refused:
            self.guard.note(count, 0, "")
            return
        self.guard.note(count, len(step.refused), str(step.refused[0].error))
        consumer = f"{self.ports.settings.group_id}/{self.slot}"
        letters = [part for refused in step.refused for part in letters_of(refused, consumer, step.clock_us)]
        for first in range(0, len(letters), LETTERS_AT_ONCE):
            some = letters[first : first + LETTERS_AT_ONCE]
            await until_done("dead-letters", partial(self.ports.publisher.append, some))
        for refused in step.refused:
            metrics.REFUSED.labels(topic, refused.error.reason).inc()

    async def _commit(self, topic: str, advance: tuple[int, int], tip: Tip, step: Step) -> None:
        outbox = [
            OutboxEntry(
                seq, derived.topic, derived.key, derived.value, derived.timestamp_ms or step.clock_us // 1000
            )
            for seq, derived in enumerate(step.derived, self._outbox_seq + 1)
        ]
        commit = Commit({topic: advance}, step.writes, outbox, step.clock_us, {topic: tip})
        asked_s = self._decisions.alive()
        await self._decisions.look_before(outbox)
        await until_done("live", lambda: self.ports.store.commit(self._lease, commit))
        self._next[topic], self._tips[topic] = advance[1], tip
        self._outbox_seq += len(outbox)
        if self._decisions.alive() - asked_s > ANSWERED_SOON_S and outbox:
            # This process was held up. If Redis was flushed since, others have decided this again, in their own words.
            await self.check()
        await self._publish(outbox)

    async def _publish(self, outbox: Sequence[OutboxEntry], told: frozenset[bytes] = frozenset()) -> None:
        """Append what is not `told` already, and note that all of it is on the log."""
        if not outbox:
            return
        records = [
            Encoded(entry.topic, entry.key, entry.value, entry.timestamp_ms)
            for entry in outbox
            if entry.value not in told
        ]
        positions = []
        if records:
            positions = await until_done("outbox", lambda: self.ports.publisher.append_encoded(records))
        self._decisions.note(positions)
        hints = self._hints(positions)
        await until_done("live", lambda: self.ports.store.published(self._lease, outbox[-1].seq, hints))
        for entry in outbox:
            metrics.DERIVED.labels(entry.topic).inc()

    def _hints(self, positions: Sequence[Position]) -> dict[str, int]:
        """Where the next owner begins to look for derived events, or nothing new.

        In a replay, events that were derived before may wait for their place still: the next owner has to find them too.
        """
        if any(self._next[topic] < end for topic, end in self._ends.items()):
            return {}
        return {f"{place.topic}.{place.number}": offset for place, offset in vector_of(positions).items()}
