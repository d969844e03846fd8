"""One slot's states against a naive fold of the log, while its worker goes on writing them.

A slot is looked at piece by piece. Each look is atomic and says at which offsets it was made, so the naive fold goes to
exactly these offsets before the look's keys are compared: nothing stands still for it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError
from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.rebuild.errors import LogStartGoneError
from processors.rebuild.plan import Part, parts_of
from processors.rebuild.progress import Progress
from processors.verify.errors import BrokenSlotError, SlotMovedError
from processors.verify.naive.provider import NaiveProviderSlot
from processors.verify.naive.slot import NaiveSlot
from processors.verify.naive.tenant import NaiveTenantSlot
from processors.verify.pace import Share
from processors.verify.spelling import read, spelled
from projections.live.canonical import encode
from projections.live.digest import LIVE_AND_LOG, Comparison
from projections.live.look import KEYS_AT_ONCE, Look, look
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD, Slot
from projections.live.store import LiveStore

NAIVE: Mapping[str, Callable[[Codec, LogSettings], NaiveSlot]] = {
    TENANT_LEAD: NaiveTenantSlot,
    PROVIDER_LEAD: NaiveProviderSlot,
}


@dataclass(slots=True)
class Means:
    """What a proof reads, and how much of a core it may take. `store` is pinned to a generation."""

    log: LogSettings
    store: LiveStore
    codec: Codec
    progress: Progress
    share: Share
    reader: LogReader

    async def on_log(self, topic: str, number: int) -> Range:
        """What the log holds of a partition."""
        return await self.reader.range_of(Partition(topic, number))

    async def read(
        self,
        topic: str,
        number: int,
        wanted: Range,
        take: Callable[[LogRecord], None],
        passed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Give the records of a range to `take`, few at a time; after these, the next offset to `passed`."""
        step = self.share.records_at_once
        async with aclosing(self.reader.read(topic, {number: wanted})) as batches:
            async for _, records in batches:
                for first in range(0, len(records), step):
                    began_s = time.thread_time()
                    for record in records[first : first + step]:
                        take(record)
                    await self.share.after(began_s)
                    passed(records[min(first + step, len(records)) - 1].offset + 1)


@dataclass(slots=True)
class SlotProof:
    """May be asked to prove again and again: each time it folds what has come since. Of no use once a call has failed."""

    slot: Slot
    naive: NaiveSlot
    at: dict[str, int] = field(default_factory=dict)
    """Where it was compared last: next offsets by topic."""
    _decided: list[tuple[Event, int]] = field(default_factory=list)
    _decided_to: int = 0
    _found: Comparison = field(default_factory=lambda: Comparison(LIVE_AND_LOG))
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, slot: Slot, means: Means) -> SlotProof:
        """With nothing folded."""
        return cls(slot, NAIVE[slot.lead](means.codec, means.log))

    async def parts(self, means: Means) -> tuple[Part, ...]:
        """What is to be folded. LogStartGoneError, LogEndsEarlyError: the log does not have it. BrokenSlotError."""
        try:
            held = (await means.store.checkpoints([self.slot]))[self.slot]
        except ValueError as error:
            raise _broken(self.slot, error) from error
        return await parts_of(means.reader, [self.slot], {self.slot: self.at}, {self.slot: held.next_offsets})

    async def prove(self, means: Means, keys: Collection[str]) -> Comparison:
        """Compare all keys that there are, then those that should be: made since the keys were listed, or missing.

        SlotMovedError when the slot goes back meanwhile, LogStartGoneError when what was decided is no longer on the log.
        """
        self._found, self._seen = Comparison(LIVE_AND_LOG), set()
        surely = await means.on_log(self.naive.derived, self.slot.partition)
        if surely.start > self._decided_to:
            raise LogStartGoneError(
                f"the log of {self.naive.derived}-{self.slot.partition} begins at {surely.start}, and what was decided before "
                "is part of the state: it cannot be verified from this log alone"
            )
        looks = await self._looks(means, surely, sorted(keys))
        missing = self._expected() - self._seen
        if missing:
            looks = await self._looks(means, surely, sorted(missing))
            for key in missing - self._seen:
                self._add({}, [key])
        if any(self.at.values()):
            clock = encode({"clock_us": looks[-1].checkpoint.clock_us})
            self._add({"checkpoint": clock}, ["checkpoint"])
        return self._found

    async def _looks(self, means: Means, surely: Range, keys: Sequence[str]) -> list[Look]:
        """Look at all of these keys, at least once, so that it is known where the slot is, and compare what is there."""
        firsts = range(0, max(1, len(keys)), KEYS_AT_ONCE)
        looks = [await self._look(means, keys[first : first + KEYS_AT_ONCE]) for first in firsts]
        await self._learn_what_was_decided(means, surely, looks)
        for one in looks:
            await self._fold_to(means, one.checkpoint.next_offsets)
            began_s = time.thread_time()
            self._add(one.values, list(one.values))
            self._seen |= one.values.keys()
            await means.share.after(began_s)
        return looks

    async def _look(self, means: Means, keys: Sequence[str]) -> Look:
        try:
            return await look(means.store, self.slot, keys)
        except (ValueError, struct.error) as error:
            raise _broken(self.slot, error) from error

    def _expected(self) -> set[str]:
        return self.naive.keys() if any(self.at.values()) else set()

    def _add(self, live: Mapping[str, bytes], keys: Sequence[str]) -> None:
        """Nothing is expected of a slot that has folded nothing."""
        said = {}
        for key in keys if any(self.at.values()) else ():
            document = self.naive.says(key, read(live.get(key)))
            if document is not None:
                said[key] = spelled(key, document)
        self._found.add(str(self.slot), live, said)

    async def _fold_to(self, means: Means, next_offsets: Mapping[str, int]) -> None:
        for topic in self.naive.topics:
            start, end = self.at.get(topic, 0), next_offsets.get(topic, 0)
            if end < start:
                raise SlotMovedError(
                    f"{self.slot} went back from {start} to {end} of {topic} while it was verified: Redis was flushed or "
                    "restored, or the slot is folded anew; wait until its worker has caught up, then verify again"
                )
            if end > start:
                take, passed = partial(self.naive.take, topic), partial(means.progress.at, self.slot, topic)
                await means.read(topic, self.slot.partition, Range(start, end), take, passed)
            self.at[topic] = end
        self.naive.came_to(self.at)

    async def _learn_what_was_decided(self, means: Means, surely: Range, looks: Sequence[Look]) -> None:
        """What was derived is on the log, or waits in the outbox that was found with the states."""
        topic, number = self.naive.derived, self.slot.partition
        end = (await means.on_log(topic, number)).end
        await means.read(topic, number, Range(self._decided_to, end), partial(self._learn, means.codec))
        self._decided_to = end
        known = [(event, offset < surely.end) for event, offset in self._decided]
        for entry in (entry for one in looks for entry in one.outbox if entry.topic == topic):
            known += [(event, False) for event in _events(means.codec, topic, entry.value)]
        self.naive.decided(known)

    def _learn(self, codec: Codec, record: LogRecord) -> None:
        self._decided += [
            (event, record.offset) for event in _events(codec, self.naive.derived, record.value)
        ]


def _events(codec: Codec, topic: str, value: bytes | None) -> list[Event]:
    """The event of a record. One that is no event was not derived by us and is passed over."""
    try:
        return [codec.decode(TOPICS[topic], value)]
    except InvalidEventError:
        return []


def _broken(slot: Slot, error: Exception) -> BrokenSlotError:
    return BrokenSlotError(
        f"the hash `meta` or the list `outbox` of {slot} is not as a worker has written it ({error}), so it is not known "
        "where the slot is: delete all keys of the slot, and its worker folds it anew"
    )
