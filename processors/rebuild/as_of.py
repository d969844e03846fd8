"""A generation as the live state was at an earlier time: folded up to there, looked at, dropped, and never made live."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import assert_never

from events.positions import InvalidPositionError, Partition, format_vector
from events.reader import Range
from events.until import Until, UntilPositions, UntilTime
from processors.rebuild.bad_records import BadRecord
from processors.rebuild.building import Building, now_us
from processors.rebuild.errors import LiveBehindError
from processors.rebuild.past_as_of import PastAsOf
from processors.rebuild.plan import Plan
from processors.rebuild.target import Target
from projections.live.generations import BuiltUntil, Known, Stage
from projections.live.lock import GenerationLock
from projections.live.slots import TOPICS_OF_LEAD, Slot, slot_of_partition

Ends = Mapping[Slot, Mapping[str, int]]
"""Next offset by topic of each slot."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where each slot ends, and its time then in microseconds: that of its newest record, or the one that was asked for."""

    ends: Ends
    times_us: Mapping[Slot, int]
    until: BuiltUntil


@dataclass(frozen=True, slots=True)
class BuiltAsOf:
    """What was built: `positions` are the next offsets of what the generation holds."""

    plan: Plan
    until: BuiltUntil
    positions: Mapping[Partition, int]
    folded: int
    took_s: float
    skipped: tuple[BadRecord, ...]


@dataclass(slots=True)
class RebuildAsOf(Building):
    """One such generation. What the live one has decided below there is applied, and nothing is decided."""

    until: Until

    async def plan(self) -> Plan:
        """What would be done now. Nothing is changed by it."""
        live = await self.generations.live()
        cut = await self._cut(await self.ends_of(live))
        generation, resumed = await self._number(live, cut.until)
        return await self.planned(live, generation, resumed, cut.ends)

    async def run(self) -> BuiltAsOf:
        """Build it, or go on with one of the same time. LockedError when another command works on the generations."""
        async with GenerationLock(self.follower.connection, self.live_settings.namespace) as lock:
            return await lock.during(lambda: self._run(lock.token))

    async def _run(self, token: str) -> BuiltAsOf:
        started_s = time.monotonic()
        live = await self.generations.live()
        async with self.store(live) as old:
            targets = await self.settled(old, token)
        cut = await self._cut({slot: target.next_offsets for slot, target in targets.items()})
        if self.options.anew:
            for number in await self._same(live, cut.until):
                await self.generations.drop(number)
        generation, resumed = await self._number(live, cut.until)
        plan = await self.planned(live, generation, resumed, cut.ends)
        await self.generations.note(generation, Known(Stage.BUILDING, live, now_us(), until=cut.until))
        self.begin(plan, "to look at")
        judge = await self.judge()
        async with self.store(generation) as new:
            rebuilds = self.rebuilds(new, judge, token, self._pasts(cut))
            await self.reach(rebuilds, {slot: Target(ends, {}) for slot, ends in cut.ends.items()})
        rate = self.rate_since(started_s) if plan.records else 0
        await self.generations.note(generation, Known(Stage.AS_OF, live, now_us(), rate, cut.until))
        positions = {
            Partition(topic, slot.partition): offset
            for slot, ends in cut.ends.items()
            for topic, offset in ends.items()
        }
        took_s = time.monotonic() - started_s
        return BuiltAsOf(
            plan, cut.until, positions, self.progress.folded, took_s, tuple(judge.skipped.values())
        )

    def _pasts(self, cut: Cut) -> dict[Slot, PastAsOf]:
        return {
            slot: PastAsOf(
                self.log,
                self.codec,
                self.reader,
                slot.partition,
                outcomes_end=ends.get("outcomes", 0),
                at_us=cut.times_us[slot],
            )
            for slot, ends in cut.ends.items()
        }

    async def _number(self, live: int, until: BuiltUntil) -> tuple[int, bool]:
        same = await self._same(live, until)
        if same and not self.options.anew:
            return same[-1], True
        return await self.generations.next_free(), False

    async def _same(self, live: int, until: BuiltUntil) -> list[int]:
        """Those that were begun or built for the same."""
        known = await self.generations.known()
        return [
            number
            for number, one in known.items()
            if number != live
            and one.until is not None
            and one.until.positions == until.positions
            and (until.positions is not None or one.until.time_us == until.time_us)
        ]

    async def _cut(self, live: Ends) -> Cut:
        """The slots' ends, none beyond the live generation: what is not folded there is not decided yet."""
        match self.until:
            case UntilTime(time_us):
                if time_us > now_us():
                    raise LiveBehindError("that time lies ahead: `interlock rebuild live` builds the present")
                ends = await self._at_time(self.until, live)
                return Cut(ends, dict.fromkeys(ends, time_us), BuiltUntil(time_us))
            case UntilPositions(vector):
                ends = self._at_positions(vector, live)
                times_us = {slot: await self._newest_us(slot, ends[slot]) for slot in ends}
                return Cut(ends, times_us, BuiltUntil(max(times_us.values()), format_vector(vector)))
            case _:
                assert_never(self.until)

    async def _at_time(self, until: UntilTime, live: Ends) -> Ends:
        topics = [topic for of_lead in TOPICS_OF_LEAD.values() for topic in of_lead]
        offsets = {topic: await self.reader.offsets_at(topic, until.after_ms) for topic in topics}
        return {
            slot: {
                topic: _reached(
                    Partition(topic, slot.partition), offsets[topic].get(slot.partition, 0), live[slot]
                )
                for topic in TOPICS_OF_LEAD[slot.lead]
            }
            for slot in self.slots
        }

    def _at_positions(self, vector: Mapping[Partition, int], live: Ends) -> Ends:
        ends = {slot: dict(live[slot]) for slot in self.slots}
        for place, offset in vector.items():
            slot = slot_of_partition(place)
            if slot not in ends:
                raise InvalidPositionError(
                    f"{place}: the log has {self.log.partitions} partitions of {place.topic}"
                )
            ends[slot][place.topic] = _reached(place, offset, live[slot])
        return ends

    async def _newest_us(self, slot: Slot, ends: Mapping[str, int]) -> int:
        """The time of the newest of the last records; 0 when there are none. Timestamps are taken to rise."""
        newest_ms = 0
        for topic, end in ends.items():
            last = {slot.partition: Range(max(0, end - 1), end)}
            async with aclosing(self.reader.read(topic, last)) as batches:
                async for _, records in batches:
                    newest_ms = max(newest_ms, *(record.timestamp for record in records))
        return newest_ms * 1000


def _reached(place: Partition, offset: int, live: Mapping[str, int]) -> int:
    reached = live.get(place.topic, 0)
    if offset > reached:
        raise LiveBehindError(
            f"the live generation has folded {place} up to {reached}, not yet to {offset}: what follows is not decided. Wait "
            "for the workers, or name an earlier time"
        )
    return offset
