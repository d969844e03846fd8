"""The usage of one tenant partition: what it cost, what it would have cost, and the budgets that it is charged to. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from events.budget_changed import BudgetChanged
from events.codec import Codec
from events.errors import InvalidEventError
from events.reader import LogRecord
from processors.backtest.adjustments import Adjusted
from processors.backtest.cost import Cost, Costs
from processors.backtest.ledger import STRETCH_MS, Ledger, Spend
from processors.backtest.prices import Prices
from processors.dedupe import Seen
from processors.usage.soundness import USAGE, Caller, Soundness, Usage
from projections.live.node import Node
from projections.live.period import QUARTER_US
from projections.live.spend import Group

Groups = dict[Group, list[int]]


@dataclass(slots=True)
class _Sums:
    """The five sums of Spent on both sides of one caller and quarter hour."""

    recorded: list[int] = field(default_factory=lambda: [0] * 5)
    tried: list[int] = field(default_factory=lambda: [0] * 5)


class UsageBacktest:
    """Feed `apply` with the partition's usage records in order, then `finish`.

    `changes`: the partition's BudgetChanged and adjustments with their records' timestamps (ms), in order; `tried`: those
    budgets that hold instead from `begins_us` of the records' clock on. Before it all is as recorded, and nothing is told of it.
    """

    def __init__(
        self,
        codec: Codec,
        soundness: Soundness,
        changes: Sequence[tuple[int, BudgetChanged | Adjusted]],
        *,
        tried: Sequence[BudgetChanged] = (),
        prices: Prices | None = None,
        begins_us: int = 0,
    ) -> None:
        self.costs = Costs()
        self.refused = self.duplicates = 0
        self.clock_ms = 0
        self._codec = codec
        self._soundness = soundness
        self._changes = deque(changes)
        self._to_try = {(event.tenant, event.budget_id): event for event in tried}
        self._prices = prices
        self._begins_us = begins_us
        self._has_begun = False
        self._seen = Seen()
        self._turns_ms = 0
        self._sums: dict[tuple[Caller, int], _Sums] = {}
        nodes = _nodes([*(one for _, one in changes if isinstance(one, BudgetChanged)), *tried])
        self._spend = Spend(nodes)
        self._tried_spend = Spend(nodes) if prices else self._spend
        self.recorded = Ledger(self._spend)
        self.tried = Ledger(self._tried_spend) if prices or tried else self.recorded

    def apply(self, records: Iterable[LogRecord]) -> None:
        """The next records of the partition."""
        decode, check, seen = self._codec.decode_record, self._soundness.check, self._seen
        for record in records:
            if record.timestamp > self.clock_ms:
                if record.timestamp >= self._turns_ms:
                    self._turn(record.timestamp)
                self.clock_ms = record.timestamp
                seen.turn(self.clock_ms, record.offset)
            try:
                usage = decode(USAGE, record.value)
                caller = check(usage, record)
            except InvalidEventError:
                self.refused += 1
                continue
            if seen.add(usage["event_id"]):
                self._count(caller, usage)
            else:
                self.duplicates += 1

    def finish(self, clock_ms: int) -> None:
        """The end of what is asked about."""
        self._turn(max(clock_ms, self.clock_ms))

    def _count(self, caller: Caller, usage: Usage) -> None:
        number = usage["occurred_at"] // QUARTER_US
        held = self._sums.get((caller, number))
        if held is None:
            held = self._sums[caller, number] = _Sums()
        cost = usage["cost_nano_usd"]
        _add(held.recorded, cost, usage)
        if self._prices is not None and self._has_begun:
            _add(held.tried, self._prices.cost_nano_usd(usage), usage)

    def _turn(self, clock_ms: int) -> None:
        """A stretch is over: charge it, then take the budgets that changed before the next one."""
        self._flush()
        self._turns_ms = (clock_ms // STRETCH_MS + 1) * STRETCH_MS
        self._take_changes(min(clock_ms, (self._begins_us - 1) // 1000))
        if not self._has_begun and clock_ms * 1000 >= self._begins_us:
            self._has_begun = True
            for event in self._to_try.values():
                self.tried.change(replace(event, occurred_at=self._begins_us), clock_ms * 1000, counts=True)
        if not self._has_begun:
            self._turns_ms = min(self._turns_ms, -(-self._begins_us // 1000))
        self._take_changes(clock_ms)

    def _take_changes(self, to_ms: int) -> None:
        while self._changes and self._changes[0][0] <= to_ms:
            at_ms, event = self._changes.popleft()
            clock_us = max(at_ms, self.clock_ms) * 1000
            if isinstance(event, Adjusted):
                self._post(event.recorded, event.tried, clock_us)
                for key, cost in event.costs.items():
                    self.costs.post(key, cost)
                continue
            self.recorded.change(event, clock_us, counts=self._has_begun)
            is_tried = self._has_begun and (event.tenant, event.budget_id) in self._to_try
            if self.tried is not self.recorded and not is_tried:
                self.tried.change(event, clock_us, counts=self._has_begun)

    def _flush(self) -> None:
        if not self._sums:
            return
        is_priced = self._prices is not None and self._has_begun
        groups: Groups = {}
        tried: Groups = {} if is_priced else groups
        for (caller, number), sums in self._sums.items():
            _merge(groups, (caller.payer, number), sums.recorded)
            if is_priced:
                _merge(tried, (caller.payer, number), sums.tried)
            if self._has_begun:
                payer, known = caller.payer, sums.tried if is_priced else sums.recorded
                cost = Cost(sums.recorded[1], sums.recorded[0], known[0], sums.recorded[4], known[4])
                self.costs.post((payer.tenant, payer.provider, payer.model), cost)
        self._sums.clear()
        self._post(groups, tried, self.clock_ms * 1000)

    def _post(self, groups: Groups, tried: Groups, clock_us: int) -> None:
        charges = self._spend.post(groups)
        self.recorded.post(charges, groups, clock_us, counts=self._has_begun)
        if self.tried is not self.recorded:
            if self._tried_spend is not self._spend:
                charges = self._tried_spend.post(tried)
            self.tried.post(charges, tried, clock_us, counts=self._has_begun)


def _add(sums: list[int], cost: int | None, usage: Usage) -> None:
    if cost is None:
        sums[4] += 1
    else:
        sums[0] += cost
    sums[1] += 1
    sums[2] += usage["input_tokens"]
    sums[3] += usage["output_tokens"]


def _merge(groups: Groups, group: Group, sums: Sequence[int]) -> None:
    held = groups.setdefault(group, [0] * 5)
    for index, value in enumerate(sums):
        held[index] += value


def _nodes(events: Iterable[BudgetChanged]) -> Mapping[str, frozenset[str]]:
    """By tenant, the nodes that have a budget at some time."""
    found: dict[str, set[str]] = {}
    for event in events:
        node = Node(event.level, event.subject, event.provider, event.model)
        found.setdefault(event.tenant, set()).add(str(node))
    return {tenant: frozenset(nodes) for tenant, nodes in found.items()}
