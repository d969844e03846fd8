"""The live state against a naive fold of the log, while workers go on writing it.

A slot is looked at piece by piece. Each look is atomic and says at which offsets it was made, so the naive fold goes to
exactly these offsets before the look's keys are compared: nothing stands still for it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.rebuild.errors import LogStartGoneError
from processors.rebuild.plan import parts_of
from processors.rebuild.progress import Progress
from processors.verify.errors import BrokenSlotError, SlotMovedError
from processors.verify.naive.provider import NaiveProviderSlot
from processors.verify.naive.slot import NaiveSlot
from processors.verify.naive.tenant import NaiveTenantSlot
from processors.verify.pace import Share
from processors.verify.spelling import read, spelled
from projections.live.canonical import encode
from projections.live.checkpoint import Checkpoint
from projections.live.digest import LIVE_AND_LOG, Comparison
from projections.live.look import KEYS_AT_ONCE, Look, keys_of, look
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

MOST_TRIES = 3
NOT_COMPARED = frozenset({"meta", "outbox", "permits"})
"""Kinds of keys that are no states: who wrote, what is under way, leases. Of `meta` the clock is compared, as `checkpoint`."""

NAIVE: Mapping[str, Callable[[Codec, LogSettings], NaiveSlot]] = {
    TENANT_LEAD: NaiveTenantSlot,
    PROVIDER_LEAD: NaiveProviderSlot,
}


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. `vectors` is by slot where it was compared last; `records` how many were folded for it."""

    generation: int
    comparison: Comparison
    vectors: Mapping[Slot, Mapping[str, int]]
    records: int
    took_s: float

    @property
    def differing(self) -> tuple[Slot, ...]:
        """The slots that hold something else than the log says."""
        return tuple(dict.fromkeys(Slot.parse(one.slot) for one in self.comparison.differences))


async def verify_live(
    log: LogSettings, live: LiveSettings, codec: Codec, progress: Progress, slots: Sequence[Slot]
) -> Verified:
    """Verify the generation that is live, as fast as it goes."""
    async with LiveStore(live) as follower:
        generation = await follower.follow()
    async with LiveStore(live.model_copy(update={"generation": generation})) as store:
        return await LiveProof(log, store, codec, progress).verify(slots)


@dataclass(slots=True)
class LiveProof:
    """`store` is pinned to a generation."""

    log: LogSettings
    store: LiveStore
    codec: Codec
    progress: Progress
    share: Share = field(default_factory=lambda: Share(1))
    _reader: LogReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = LogReader(self.log)

    async def verify(self, slots: Sequence[Slot]) -> Verified:
        """Compare all keys of the slots with the log.

        LogStartGoneError, LogEndsEarlyError: the log does not have what the state was folded from. SlotMovedError: a slot
        went back again and again.
        """
        started_s = time.monotonic()
        comparison, vectors = Comparison(LIVE_AND_LOG), {}
        held = {slot: await self._checkpoint(slot) for slot in slots}
        ends = {slot: checkpoint.next_offsets for slot, checkpoint in held.items()}
        for part in await parts_of(self._reader, slots, {slot: {} for slot in slots}, ends):
            self.progress.expect(part.slot, part.topic, part.start, part.end)
        keys = await keys_of(self.store, slots, NOT_COMPARED)
        for slot in slots:
            found, vectors[slot] = await self._slot(slot, sorted(keys.get(slot, ())))
            comparison.merge(found)
        took_s = time.monotonic() - started_s
        generation = self.store.keyspace.generation
        return Verified(generation, comparison, vectors, self.progress.folded, took_s)

    async def _checkpoint(self, slot: Slot) -> Checkpoint:
        try:
            return (await self.store.checkpoints([slot]))[slot]
        except ValueError as error:
            raise _broken(slot, error) from error

    async def _slot(self, slot: Slot, keys: Sequence[str]) -> tuple[Comparison, Mapping[str, int]]:
        for attempt in range(MOST_TRIES):
            try:
                return await _SlotProof(self, slot, NAIVE[slot.lead](self.codec, self.log)).prove(keys)
            except SlotMovedError:
                if attempt + 1 == MOST_TRIES:
                    raise
        raise AssertionError("one of the tries returns or raises")

    async def read(self, slot: Slot, topic: str, wanted: Range, take: Callable[[LogRecord], None]) -> None:
        """Give the records of a range to `take`, few at a time."""
        step = self.share.records_at_once
        async with aclosing(self._reader.read(topic, {slot.partition: wanted})) as batches:
            async for _, records in batches:
                for first in range(0, len(records), step):
                    began_s = time.thread_time()
                    for record in records[first : first + step]:
                        take(record)
                    await self.share.after(began_s)
                    if topic in TOPICS_OF_LEAD[slot.lead]:
                        self.progress.at(slot, topic, records[: first + step][-1].offset + 1)

    async def on_log(self, slot: Slot, topic: str) -> Range:
        """What the log holds of a topic, in the slot's partition."""
        return (await self._reader.ranges(topic)).get(slot.partition, Range(0, 0))


def _broken(slot: Slot, error: Exception) -> BrokenSlotError:
    return BrokenSlotError(
        f"the hash `meta` or the list `outbox` of {slot} is not as a worker has written it ({error}), so it is not known "
        "where the slot is: delete all keys of the slot, and its worker folds it anew"
    )


@dataclass(slots=True)
class _SlotProof:
    """One slot on its way through the proof; thrown away when the slot goes back meanwhile."""

    proof: LiveProof
    slot: Slot
    naive: NaiveSlot
    found: Comparison = field(default_factory=lambda: Comparison(LIVE_AND_LOG))
    _at: dict[str, int] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _decided: list[LogRecord] = field(default_factory=list)

    async def prove(self, keys: Sequence[str]) -> tuple[Comparison, Mapping[str, int]]:
        """All keys that there are, then those that should be: made since the keys were listed, or missing."""
        surely = await self.proof.on_log(self.slot, self.naive.derived)
        if surely.start > 0:
            raise LogStartGoneError(
                f"the log of {self.naive.derived}-{self.slot.partition} begins at {surely.start}, and what was decided before "
                "is part of the state: it cannot be verified from this log alone"
            )
        looks = await self._looks(surely, keys)
        missing = self._expected() - self._seen
        if missing:
            looks = await self._looks(surely, sorted(missing))
            for key in missing - self._seen:
                self._add({}, [key])
        if any(self._at.values()):
            clock = encode({"clock_us": looks[-1].checkpoint.clock_us})
            self._add({"checkpoint": clock}, ["checkpoint"])
        return self.found, dict(self._at)

    async def _looks(self, surely: Range, keys: Sequence[str]) -> list[Look]:
        """Look at all of these keys, at least once, so that it is known where the slot is, and compare what is there."""
        looks = [
            await self._look(keys[first : first + KEYS_AT_ONCE])
            for first in range(0, max(1, len(keys)), KEYS_AT_ONCE)
        ]
        await self._learn_what_was_decided(surely, looks)
        for one in looks:
            await self._fold_to(one.checkpoint.next_offsets)
            self._add(one.values, list(one.values))
            self._seen |= one.values.keys()
        return looks

    async def _look(self, keys: Sequence[str]) -> Look:
        try:
            return await look(self.proof.store, self.slot, keys)
        except (ValueError, struct.error) as error:
            raise _broken(self.slot, error) from error

    def _expected(self) -> set[str]:
        return self.naive.keys() if any(self._at.values()) else set()

    def _add(self, live: Mapping[str, bytes], keys: Sequence[str]) -> None:
        """Nothing is expected of a slot that has folded nothing."""
        said = {}
        for key in keys if any(self._at.values()) else ():
            document = self.naive.says(key, read(live.get(key)))
            if document is not None:
                said[key] = spelled(key, document)
        self.found.add(str(self.slot), live, said)

    async def _fold_to(self, next_offsets: Mapping[str, int]) -> None:
        for topic in self.naive.topics:
            start, end = self._at.get(topic, 0), next_offsets.get(topic, 0)
            if end < start:
                raise SlotMovedError(
                    f"{self.slot} went back from {start} to {end} of {topic} while it was verified: Redis was flushed or "
                    "restored, or the slot is folded anew; wait until its worker has caught up, then verify again"
                )
            if end > start:
                await self.proof.read(self.slot, topic, Range(start, end), partial(self.naive.take, topic))
            self._at[topic] = end
        self.naive.came_to(self._at)

    async def _learn_what_was_decided(self, surely: Range, looks: Sequence[Look]) -> None:
        """What was derived is on the log, or waits in the outbox that was found with the states."""
        topic = self.naive.derived
        start = self._decided[-1].offset + 1 if self._decided else surely.start
        now = await self.proof.on_log(self.slot, topic)
        await self.proof.read(self.slot, topic, Range(start, now.end), self._decided.append)
        known = [(record.value, record.offset < surely.end) for record in self._decided]
        known += [(entry.value, False) for one in looks for entry in one.outbox if entry.topic == topic]
        self.naive.decided(self._events(known))

    def _events(self, known: Sequence[tuple[bytes | None, bool]]) -> list[tuple[Event, bool]]:
        """A record that is no event was not derived by us and is passed over."""
        topic, events = TOPICS[self.naive.derived], []
        for value, is_sure in known:
            try:
                events.append((self.proof.codec.decode(topic, value), is_sure))
            except InvalidEventError:
                continue
        return events
