"""A backtest over a log: reads what the folds are fed with, partition by partition, and puts together what they find."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter
from typing import Protocol, TypeVar

from events.alert_raised import AlertKind, AlertRaised
from events.bounds import Bounds
from events.breaker_transitioned import BreakerTransitioned
from events.budget_changed import BudgetChanged
from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError, LogUnavailableError
from events.outcomes_observed import OutcomesObserved
from events.partitioner import partition_of
from events.positions import Position
from events.provider_changed import ProviderChanged
from events.reader import Batch, LogRecord, Range
from events.settings import LogSettings
from events.spend_adjusted import SpendAdjusted
from processors.backtest.adjustments import Adjusted, Adjustments
from processors.backtest.breakers import BreakerBacktest
from processors.backtest.cost import Cost, CostKey
from processors.backtest.deployment import DeploymentRun
from processors.backtest.downtime import downtimes
from processors.backtest.ledger import Overrun, Reached
from processors.backtest.outcome import Alerts, Counted, Outcome
from processors.backtest.policy import TriedPolicy
from processors.backtest.settings_history import SettingsHistory
from processors.backtest.usage import UsageBacktest
from processors.dedupe import SLICE_MS, Seen
from processors.usage.soundness import Soundness
from projections.live import budget as budget_model
from projections.live.budget import Budgets
from projections.live.period import period_before, period_of

E = TypeVar("E", bound=Event)
Tell = Callable[[int, int], None]
"""Told of progress: records read, and all that are to be read."""


class Source(Protocol):
    """Where the facts lie; `events.reader.LogReader` is one."""

    async def ranges(self, topic: str) -> dict[int, Range]: ...
    async def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]: ...
    def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]: ...


async def time_of(source: Source, position: Position) -> int:
    """The time of the record at a position, microseconds; LogUnavailableError when the log does not hold it."""
    held = (await source.ranges(position.topic)).get(position.partition, Range(0, 0))
    if held.start <= position.offset < held.end:
        wanted = {position.partition: Range(position.offset, position.offset + 1)}
        async with aclosing(source.read(position.topic, wanted)) as batches:
            async for _, records in batches:
                return records[0].timestamp * 1000
    raise LogUnavailableError(
        f"no record is at {position}: the log holds {held.start} to {held.end} of {position.topic}-{position.partition}"
    )


@dataclass(slots=True)
class Backtest:
    """One backtest of a policy. It reads the records' time [from_us, to_us), and what stands before it as recorded."""

    log: LogSettings
    source: Source
    codec: Codec
    policy: TriedPolicy
    from_us: int | None = None
    to_us: int | None = None
    tell: Tell = lambda *_: None
    _done: int = field(init=False, default=0)
    _total: int = field(init=False, default=0)
    _clock_us: int = field(init=False, default=0)
    _counted: Counted = field(init=False, default_factory=Counted)

    async def run(self) -> Outcome:
        """Read the log once. LogUnavailableError when it cannot be."""
        outcomes, usage = await self._wanted("outcomes"), await self._wanted("usage")
        providers, budgets = (
            await self._changes("providers", ProviderChanged),
            await self._changes("budgets", BudgetChanged),
        )
        adjustments = await self._adjustments()
        usage = await self._needed(usage, budgets, adjustments)
        self._total = sum(held.end - held.start for held in [*outcomes.values(), *usage.values()])
        deployments = await self._breakers(outcomes, providers)
        costs, alerts, recorded, tried, strange = await self._budgets(usage, budgets, adjustments)
        begins_us = self.from_us or 0
        ends_us = self.to_us if self.to_us is not None else self._clock_us + 1
        return Outcome(
            begins_us,
            ends_us,
            {
                f"{topic}-{number}": held
                for topic, wanted in (("outcomes", outcomes), ("usage", usage))
                for number, held in sorted(wanted.items())
            },
            self._counted,
            dict(sorted(deployments.items())),
            tuple(downtimes(deployments.values(), ends_us)),
            alerts,
            strange,
            recorded,
            tried,
            dict(sorted(costs.items())),
        )

    async def _wanted(self, topic: str) -> dict[int, Range]:
        """What is there of a topic before the end of the time asked about."""
        held = await self.source.ranges(topic)
        if self.to_us is None:
            return held
        ends = await self.source.offsets_at(topic, -(-self.to_us // 1000))
        return {number: Range(there.start, min(there.end, ends[number])) for number, there in held.items()}

    async def _needed(
        self,
        usage: dict[int, Range],
        changes: Mapping[int, list[tuple[int, BudgetChanged]]],
        adjustments: Mapping[int, Adjustments],
    ) -> dict[int, Range]:
        """Without what is older than the periods that the budgets are in at the beginning or when the first call happened that
        was adjusted since, and the duplicates' horizon.
        """
        if self.from_us is None:
            return usage
        begins_us = min([self.from_us, *(held.earliest_us for held in adjustments.values())])
        earliest_us = begins_us
        for event in [*(each for held in changes.values() for _, each in held), *self.policy.budgets]:
            for budget in budget_model.evolve(Budgets(event.tenant), event).budgets.values():
                period = period_of(budget, begins_us)
                period = period_before(budget, period) if budget.rolls_over else period
                earliest_us = min(earliest_us, period.start_us)
        earliest_ms = earliest_us // 1000 - self.log.max_event_ahead_s * 1000 - 2 * SLICE_MS
        starts = await self.source.offsets_at("usage", max(0, earliest_ms))
        return {
            number: Range(min(held.end, max(held.start, starts[number])), held.end)
            for number, held in usage.items()
        }

    async def _breakers(
        self, wanted: Mapping[int, Range], providers: Mapping[int, list[tuple[int, ProviderChanged]]]
    ) -> dict[str, DeploymentRun]:
        held = await self.source.ranges("breakers")
        found: dict[str, DeploymentRun] = {}
        for number, outcomes in sorted(wanted.items()):
            fold = BreakerBacktest(
                SettingsHistory(providers.get(number, ())),
                self.policy,
                begins_us=self.from_us or 0,
                first_offset=outcomes.start,
            )
            await self._partition(fold, number, outcomes, held.get(number, Range(0, 0)))
            self._counted = self._counted.plus(Counted(duplicates=fold.duplicates))
            found |= fold.deployments
        return found

    async def _partition(self, fold: BreakerBacktest, number: int, outcomes: Range, breakers: Range) -> None:
        """The outcomes of a partition, each after what was recorded up to it."""
        bounds = Bounds(self.log, number)
        clock_ms = transitions = 0
        async with (
            aclosing(self._transitions(bounds, number, breakers)) as recorded,
            aclosing(self.source.read("outcomes", {number: outcomes})) as batches,
        ):
            ahead = await anext(recorded, None)
            async for _, records in batches:
                for record in records:
                    while ahead is not None and ahead.outcomes_offset <= record.offset:
                        fold.transition(ahead)
                        transitions += 1
                        ahead = await anext(recorded, None)
                    clock_ms = max(clock_ms, record.timestamp)
                    observed = self._event("outcomes", record, bounds, OutcomesObserved)
                    if observed is not None:
                        fold.outcomes(observed, record.offset, clock_ms * 1000)
                    fold.passed(record.offset + 1, clock_ms * 1000)
                self._read(Counted(outcomes=len(records)))
            while ahead is not None and ahead.outcomes_offset <= outcomes.end:
                # Beyond the last record there is no other clock than the transition's own.
                if self.to_us is None or ahead.occurred_at < self.to_us:
                    fold.transition(ahead)
                    transitions += 1
                ahead = await anext(recorded, None)
        fold.finish(outcomes.end)
        self._counted = self._counted.plus(Counted(transitions=transitions))
        self._clock_us = max(self._clock_us, clock_ms * 1000)

    async def _transitions(
        self, bounds: Bounds, number: int, held: Range
    ) -> AsyncGenerator[BreakerTransitioned, None]:
        async with aclosing(self.source.read("breakers", {number: held})) as batches:
            async for _, records in batches:
                for record in records:
                    event = self._event("breakers", record, bounds, BreakerTransitioned)
                    if event is not None:
                        yield event

    async def _budgets(
        self,
        wanted: Mapping[int, Range],
        changes: Mapping[int, list[tuple[int, BudgetChanged]]],
        adjustments: Mapping[int, Adjustments],
    ) -> tuple[
        dict[CostKey, Cost],
        Alerts,
        tuple[Overrun, ...],
        tuple[Overrun, ...],
        tuple[Reached, ...],
    ]:
        folds = {
            number: self._usage_fold(number, changes.get(number, []), adjustments.get(number))
            for number in sorted(wanted)
        }
        async with aclosing(self.source.read("usage", wanted)) as batches:
            async for number, records in batches:
                folds[number].apply(records)
                self._read(Counted(usage=len(records)))
        clocks_ms = [fold.clock_ms for fold in folds.values()] + [
            one.clock_ms for one in adjustments.values()
        ]
        self._clock_us = max([self._clock_us, *(clock_ms * 1000 for clock_ms in clocks_ms)])
        end_us = self.to_us if self.to_us is not None else self._clock_us
        costs: dict[CostKey, Cost] = {}
        for fold in folds.values():
            fold.finish(-(-end_us // 1000) - 1 if self.to_us is not None else end_us // 1000)
            for key, cost in fold.costs.items():
                costs.setdefault(key, Cost()).add(cost)
            self._counted = self._counted.plus(Counted(refused=fold.refused, duplicates=fold.duplicates))
        again = {one.alert_id: one for fold in folds.values() for one in fold.recorded.alerts}
        tried = {one.alert_id: one for fold in folds.values() for one in fold.tried.alerts}
        on_log = await self._alerts()
        in_range = {
            key: one
            for key, one in on_log.items()
            if one.at_us >= (self.from_us or 0) and (self.to_us is None or one.at_us < self.to_us)
        }
        strange = [one for key, one in again.items() if key not in on_log]
        strange += [one for key, one in in_range.items() if key not in again]
        return (
            costs,
            Alerts(in_range, again, tried),
            tuple(one for fold in folds.values() for one in fold.recorded.overruns()),
            tuple(one for fold in folds.values() for one in fold.tried.overruns()),
            tuple(strange),
        )

    def _usage_fold(
        self, number: int, budgets: list[tuple[int, BudgetChanged]], adjustments: Adjustments | None
    ) -> UsageBacktest:
        changes: list[tuple[int, BudgetChanged | Adjusted]] = [*budgets]
        if adjustments is not None:
            changes = list(merge(changes, adjustments.stretches, key=itemgetter(0)))
        return UsageBacktest(
            self.codec,
            Soundness(Bounds(self.log, number)),
            changes,
            tried=[
                event
                for event in self.policy.budgets
                if partition_of(event.tenant.encode(), self.log.partitions) == number
            ],
            prices=self.policy.prices,
            begins_us=self.from_us or 0,
        )

    async def _alerts(self) -> dict[str, Reached]:
        """The budget alerts on the log, each once."""
        found: dict[str, Reached] = {}
        async with aclosing(self.source.read("alerts", await self.source.ranges("alerts"))) as batches:
            async for number, records in batches:
                bounds = Bounds(self.log, number)
                for record in records:
                    event = self._event("alerts", record, bounds, AlertRaised)
                    if event is not None and event.kind is AlertKind.BUDGET_THRESHOLD:
                        found.setdefault(event.event_id, Reached.of(event))
        return found

    async def _changes(self, topic: str, kind: type[E]) -> dict[int, list[tuple[int, E]]]:
        """All changes of a control topic by partition, with their records' times (ms), duplicates dropped."""
        found: dict[int, list[tuple[int, E]]] = {}
        async with aclosing(self._once(topic, kind, await self.source.ranges(topic))) as events:
            async for number, time_ms, event in events:
                found.setdefault(number, []).append((time_ms, event))
        return found

    async def _adjustments(self) -> dict[int, Adjustments]:
        """Those before the end of the time asked about, by partition."""
        found: dict[int, Adjustments] = {}
        wanted = await self._wanted("adjustments")
        async with aclosing(self._once("adjustments", SpendAdjusted, wanted)) as events:
            async for number, time_ms, event in events:
                if number not in found:
                    found[number] = Adjustments(self.policy.prices, self.from_us or 0)
                found[number].add(time_ms, event)
        return found

    async def _once(
        self, topic: str, kind: type[E], wanted: Mapping[int, Range]
    ) -> AsyncGenerator[tuple[int, int, E], None]:
        """The events that count, with their partitions and their records' times (ms): neither bad ones nor duplicates."""
        seen: dict[int, Seen] = {}
        async with aclosing(self.source.read(topic, wanted)) as batches:
            async for number, records in batches:
                ids, bounds = seen.setdefault(number, Seen()), Bounds(self.log, number)
                for record in records:
                    ids.tick(record.timestamp, record.offset)
                    event = self._event(topic, record, bounds, kind)
                    if event is not None and ids.add(event.event_id):
                        yield number, record.timestamp, event

    def _event(self, topic: str, record: LogRecord, bounds: Bounds, kind: type[E]) -> E | None:
        """The event of a record; None for a bad one, as the workers pass over it."""
        try:
            event = bounds.event(TOPICS[topic], record, self.codec)
        except InvalidEventError:
            self._counted = self._counted.plus(Counted(refused=1))
            return None
        assert isinstance(event, kind)
        return event

    def _read(self, counted: Counted) -> None:
        self._counted = self._counted.plus(counted)
        self._done += counted.total
        self.tell(self._done, self._total)
