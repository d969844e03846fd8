"""Adjustments of one tenant partition, a second of them at a time: what they add to the record, and to what is tried. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.envelope import MAX_TIME_US
from events.spend_adjusted import SpendAdjusted
from processors.backtest.cost import Cost, Costs
from processors.backtest.ledger import STRETCH_MS
from processors.backtest.prices import Prices
from projections.live.spend import Group, post_adjustment


@dataclass(slots=True)
class Adjusted:
    """What adjustments come to. `tried` are those that prices which are tried leave as they are; `costs` is of calls in the
    time asked about.
    """

    recorded: dict[Group, list[int]] = field(default_factory=dict)
    tried: dict[Group, list[int]] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)


@dataclass(slots=True)
class Adjustments:
    """Feed `add` in the log's order. A call that happened from `begins_us` on and that `prices` speak of costs what they say,
    and what it was adjusted to counts on the record's side only.
    """

    prices: Prices | None = None
    begins_us: int = 0
    earliest_us: int = MAX_TIME_US
    """When the first call happened that was adjusted in the time asked about."""
    clock_ms: int = 0
    stretches: list[tuple[int, Adjusted]] = field(default_factory=list)
    """Each with the time of its first record, milliseconds."""
    _stretch: tuple[int, bool] = (-1, False)

    def add(self, time_ms: int, event: SpendAdjusted) -> None:
        """One more, with its record's time."""
        self.clock_ms = max(self.clock_ms, time_ms)
        has_begun, at_us = self.clock_ms * 1000 >= self.begins_us, event.usage_occurred_at
        if has_begun:
            self.earliest_us = min(self.earliest_us, at_us)
        stretch = self.clock_ms // STRETCH_MS, has_begun
        if stretch != self._stretch:
            self._stretch = stretch
            self.stretches.append((self.clock_ms, Adjusted()))
        _, adjusted = self.stretches[-1]
        post_adjustment(adjusted.recorded, event)
        is_within = at_us >= self.begins_us
        is_priced = (
            is_within and self.prices is not None and self.prices.tell_of(event.provider, event.model, at_us)
        )
        if not is_priced:
            post_adjustment(adjusted.tried, event)
        if is_within:
            difference, unpriced = event.difference_nano_usd, event.unpriced_calls
            both = Cost(0, difference, difference, unpriced, unpriced)
            cost = Cost(0, difference, 0, unpriced, 0) if is_priced else both
            adjusted.costs.post((event.tenant, event.provider, event.model), cost)
