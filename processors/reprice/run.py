"""Reprice over a log: look at every call of the scope, tell what would change, and append the adjustments."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from events.bounds import Bounds
from events.codec import Codec
from events.positions import Partition
from events.publisher import Publisher, wall_clock_ms
from events.reader import LogReader, Range
from events.settings import LogSettings
from processors.backtest.prices import Prices
from processors.dedupe import SLICE_MS
from processors.reprice.audit import SOURCE, Correction, correction
from processors.reprice.repricing import Call, Repricing
from processors.reprice.scope import Scope
from projections.audit import Audit
from projections.live.spend import QUARTERS_PER_DAY, quarter_of

APPENDED_AT_ONCE = 500
MOST_ROWS = 100_000
OTHERS = ("(others)", "(others)", "(others)")

Tell = Callable[[int, int], None]
"""Told of progress: how much is done, and all that is to be done."""


@dataclass(slots=True)
class Row:
    """Calls, how many of them count for something else at the new prices, and what they count for now and then."""

    calls: int = 0
    adjusted: int = 0
    before_nano_usd: int = 0
    after_nano_usd: int = 0

    def add(self, call: Call) -> None:
        """One call more."""
        self.calls += 1
        self.adjusted += call.is_adjusted
        self.before_nano_usd += call.before_nano_usd or 0
        self.after_nano_usd += call.after_nano_usd or 0

    @property
    def difference_nano_usd(self) -> int:
        """What is added to what was spent."""
        return self.after_nano_usd - self.before_nano_usd


@dataclass(slots=True)
class Plan:
    """What the new prices change. `rows` is by tenant, provider and model, `posted` what is added by tenant and UTC day.

    `usage` and `adjustments` are the ranges of the log that were looked at; of the partitions `cut_off` it no longer has
    all usage that was asked for.
    """

    usage: Mapping[int, Range]
    adjustments: Mapping[int, Range]
    cut_off: tuple[int, ...] = ()
    rows: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    posted: dict[tuple[str, int], int] = field(default_factory=dict)
    total: Row = field(default_factory=Row)
    refused: int = 0
    duplicates: int = 0

    def add(self, call: Call) -> None:
        """One call more."""
        usage = call.usage
        key = (usage["tenant"], usage["provider"], usage["model"])
        if key not in self.rows and len(self.rows) >= MOST_ROWS:
            key = OTHERS
        self.rows.setdefault(key, Row()).add(call)
        self.total.add(call)
        if call.is_adjusted:
            day = usage["tenant"], quarter_of(usage["occurred_at"]) // QUARTERS_PER_DAY
            self.posted[day] = self.posted.get(day, 0) + call.difference_nano_usd


def _now_us() -> int:
    return wall_clock_ms() * 1000


@dataclass(slots=True)
class Reprice:
    """One repricing. Who applies it holds the RepriceLock from before `plan` to the end."""

    log: LogSettings
    source: LogReader
    codec: Codec
    prices: Prices
    scope: Scope

    async def plan(self, tell: Tell = lambda *_: None) -> Plan:
        """Look at all calls of the scope; `tell` counts records. LogUnavailableError when the log cannot be read."""
        held = await self.source.ranges("usage")
        usage = await self._needed(held)
        gone = [number for number, one in held.items() if 0 < one.start == usage[number].start < one.end]
        plan = Plan(usage, await self.source.ranges("adjustments"), tuple(sorted(gone)))
        async with aclosing(self._calls(plan, tell)) as batches:
            async for calls in batches:
                for call in calls:
                    plan.add(call)
        return plan

    async def apply(
        self, plan: Plan, publisher: Publisher, actor: str, reason: str, tell: Tell = lambda *_: None
    ) -> dict[Partition, int]:
        """Append what the plan says, and give the next offset after it by partition. The audit is told before and after.

        `tell` counts adjustments. InvalidEventError when actor or reason are none, and
        nothing is appended then. The errors of `Publisher.append`: what was appended before stays, and the next plan finds it.
        """
        audit = Audit(SOURCE, actor, publisher, self.source, self.codec, _now_us)
        corrected = await correction(audit, self.prices, self.scope, reason)
        if not plan.total.adjusted and not corrected.is_resumed:
            return {}
        await corrected.started(plan.total.adjusted, plan.total.difference_nano_usd)
        positions = await self._append(plan, publisher, corrected, tell)
        await corrected.done(plan.total.adjusted, plan.total.difference_nano_usd)
        return positions

    async def _append(
        self, plan: Plan, publisher: Publisher, corrected: Correction, tell: Tell
    ) -> dict[Partition, int]:
        positions: dict[Partition, int] = {}
        done = 0
        async with aclosing(self._calls(plan, lambda *_: None)) as batches:
            async for calls in batches:
                changed = [call for call in calls if call.is_adjusted]
                for first in range(0, len(changed), APPENDED_AT_ONCE):
                    some = changed[first : first + APPENDED_AT_ONCE]
                    at_us = _now_us()
                    events = [corrected.adjustment(call, at_us) for call in some]
                    for at in await publisher.append(events):
                        place = Partition(at.topic, at.partition)
                        positions[place] = max(at.offset, positions.get(place, 0))
                    done += len(some)
                    tell(done, plan.total.adjusted)
        return positions

    async def _needed(self, held: Mapping[int, Range]) -> dict[int, Range]:
        """Without what was surely appended before the first call of the scope happened, but for the duplicates' horizon."""
        if self.scope.from_us is None:
            return dict(held)
        earliest_ms = self.scope.from_us // 1000 - self.log.max_event_ahead_s * 1000 - 2 * SLICE_MS
        starts = await self.source.offsets_at("usage", max(0, earliest_ms))
        return {number: Range(min(one.end, starts[number]), one.end) for number, one in held.items()}

    async def _calls(self, plan: Plan, tell: Tell) -> AsyncGenerator[list[Call], None]:
        """The calls of the scope, a batch of records at a time."""
        total = sum(one.end - one.start for one in plan.usage.values())
        done = 0
        folds = {
            number: Repricing(self.codec, Bounds(self.log, number), self.prices, self.scope)
            for number in plan.usage
        }
        async with aclosing(self.source.read("adjustments", plan.adjustments)) as batches:
            async for number, records in batches:
                folds[number].adjusted(records)
        async with aclosing(self.source.read("usage", plan.usage)) as batches:
            async for number, records in batches:
                yield list(folds[number].calls(records))
                done += len(records)
                tell(done, total)
        plan.refused = sum(fold.counted.refused for fold in folds.values())
        plan.duplicates = sum(fold.counted.duplicates for fold in folds.values())
