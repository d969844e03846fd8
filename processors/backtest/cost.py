"""What calls cost on both sides of a backtest, by tenant, provider and model. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST_COST_ROWS = 100_000
OTHERS = ("(others)", "(others)", "(others)")
CostKey = tuple[str, str, str]
"""Tenant, provider and model."""


@dataclass(slots=True)
class Cost:
    """Calls, and what they cost; calls without a known price cost nothing."""

    calls: int = 0
    recorded_nano_usd: int = 0
    tried_nano_usd: int = 0
    unpriced_recorded: int = 0
    unpriced_tried: int = 0

    def add(self, other: Cost) -> None:
        """The sums of both."""
        self.calls += other.calls
        self.recorded_nano_usd += other.recorded_nano_usd
        self.tried_nano_usd += other.tried_nano_usd
        self.unpriced_recorded += other.unpriced_recorded
        self.unpriced_tried += other.unpriced_tried


class Costs(dict[CostKey, Cost]):
    """Rows beyond the most are put together."""

    def post(self, key: CostKey, cost: Cost) -> None:
        """Add to a row."""
        if key not in self and len(self) >= MOST_COST_ROWS:
            key = OTHERS
        self.setdefault(key, Cost()).add(cost)
