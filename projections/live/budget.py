"""Budgets of a tenant, and how a budget stands: what its period allows, what was spent of it, what remains.

Nothing is counted per budget: a status is computed from the spend of the budget's node, so a budget set today knows
what was spent before it, and late usage falls into the period of its own time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from events.budget_changed import BudgetChange, BudgetChanged, BudgetLevel, BudgetPeriod
from projections.live.canonical import encode
from projections.live.node import Node
from projections.live.period import Period, period_before, period_of
from projections.live.spend import SpendOf, Spent, days_of, spent_in


class BudgetState(StrEnum):
    """How much of the limit is gone."""

    OK = "OK"
    SOFT_LIMIT_REACHED = "SOFT_LIMIT_REACHED"
    EXHAUSTED = "EXHAUSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget as its last BudgetChanged left it. `since_us`: when it was first set, or set again after a removal."""

    budget_id: str
    version: int
    level: BudgetLevel
    subject: str | None
    provider: str | None
    model: str | None
    node: str
    period: BudgetPeriod
    rolling_hours: int | None
    zone: str
    limit_nano_usd: int
    hard: bool
    soft_limits_percent: tuple[int, ...]
    rollover_cap_nano_usd: int
    since_us: int
    changed_us: int
    actor: str
    reason: str

    @property
    def rolls_over(self) -> bool:
        """A rolling budget never starts anew, so nothing is left over from before."""
        return self.rollover_cap_nano_usd > 0 and self.period is not BudgetPeriod.ROLLING


@dataclass(frozen=True, slots=True)
class Budgets:
    """All budgets of one tenant, in the order of their ids. `removed` keeps the last version of those that are gone."""

    tenant: str
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def nodes(self) -> set[str]:
        """The nodes that have budgets."""
        return {budget.node for budget in self.budgets.values()}

    def to_json(self) -> bytes:
        """Canonical bytes."""
        kept = {budget_id: _fields(budget) for budget_id, budget in self.budgets.items()}
        return encode({"tenant": self.tenant, "budgets": kept, "removed": dict(self.removed)})

    @classmethod
    def from_json(cls, data: bytes) -> Budgets:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        budgets = {budget_id: _budget(kept) for budget_id, kept in fields["budgets"].items()}
        return cls(fields["tenant"], budgets, fields["removed"])


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a budget stands in one period. `limit_nano_usd` includes what rolled over."""

    budget: Budget
    period: Period
    spent: Spent
    limit_nano_usd: int
    rollover_nano_usd: int
    reached_percent: tuple[int, ...]
    state: BudgetState

    @property
    def remaining_nano_usd(self) -> int:
        """What may still be spent: never negative."""
        return max(0, self.limit_nano_usd - self.spent.cost_nano_usd)


def evolve(budgets: Budgets, event: BudgetChanged) -> Budgets:
    """Take the change whole: the last one in the log's order wins, and its version is above all before it."""
    known = budgets.budgets.get(event.budget_id)
    last_version = known.version if known else budgets.removed.get(event.budget_id, 0)
    version = max(event.version, last_version + 1)
    kept = {key: budget for key, budget in budgets.budgets.items() if key != event.budget_id}
    removed = {key: version for key, version in budgets.removed.items() if key != event.budget_id}
    if event.change is BudgetChange.REMOVED:
        removed[event.budget_id] = version
    else:
        kept[event.budget_id] = _set(event, version, known.since_us if known else event.occurred_at)
    return Budgets(budgets.tenant, dict(sorted(kept.items())), removed)


def covers(budget: Budget, node: str) -> bool:
    """True when all that is charged to the node counts against the budget."""
    return Node.parse(budget.node).covers(Node.parse(node))


def status(budget: Budget, at_us: int, spend_of: SpendOf) -> BudgetStatus:
    """How the budget stands in the period of an instant."""
    return status_in(budget, period_of(budget, at_us), spend_of)


def status_in(budget: Budget, period: Period, spend_of: SpendOf) -> BudgetStatus:
    """How the budget stands in one of its periods."""
    spent = spent_in(spend_of, budget.node, period.quarters)
    return judge(budget, period, spent, rollover_nano_usd(budget, period, spend_of))


def judge(budget: Budget, period: Period, spent: Spent, rollover: int) -> BudgetStatus:
    """Compare what was spent with the limit. A soft limit is reached by spending: not yet at 0 of 0."""
    limit = budget.limit_nano_usd + rollover
    cost = spent.cost_nano_usd
    percents = sorted(set(budget.soft_limits_percent))
    reached = tuple(percent for percent in percents if cost > 0 and cost * 100 >= percent * limit)
    if cost >= limit:
        state = BudgetState.EXHAUSTED
    elif reached:
        state = BudgetState.SOFT_LIMIT_REACHED
    else:
        state = BudgetState.OK
    return BudgetStatus(budget, period, spent, limit, rollover, reached, state)


def rollover_nano_usd(budget: Budget, period: Period, spend_of: SpendOf) -> int:
    """What the period before left of its own limit, at most the cap. It lasts for one period: it never adds up.

    A period that ended before the budget was first set left nothing.
    """
    if not budget.rolls_over or period.start_us <= budget.since_us:
        return 0
    before = spent_in(spend_of, budget.node, period_before(budget, period).quarters)
    left = max(0, budget.limit_nano_usd - max(0, before.cost_nano_usd))
    return min(left, budget.rollover_cap_nano_usd)


def days_needed(budget: Budget, period: Period) -> Iterator[int]:
    """The UTC days of the budget's node that a status in the period is computed from."""
    yield from days_of(period.quarters)
    if budget.rolls_over and period.start_us > budget.since_us:
        yield from days_of(period_before(budget, period).quarters)


def _set(event: BudgetChanged, version: int, since_us: int) -> Budget:
    node = Node(event.level, event.subject, event.provider, event.model)
    return Budget(
        budget_id=event.budget_id,
        version=version,
        level=event.level,
        subject=event.subject,
        provider=event.provider,
        model=event.model,
        node=str(node),
        period=event.period,
        rolling_hours=event.rolling_hours,
        zone=event.zone,
        limit_nano_usd=event.limit_nano_usd,
        hard=event.hard,
        soft_limits_percent=tuple(event.soft_limits_percent),
        rollover_cap_nano_usd=event.rollover_cap_nano_usd,
        since_us=since_us,
        changed_us=event.occurred_at,
        actor=event.actor,
        reason=event.reason,
    )


def _fields(budget: Budget) -> dict[str, object]:
    return {name: getattr(budget, name) for name in Budget.__dataclass_fields__}


def _budget(fields: dict[str, Any]) -> Budget:
    return Budget(
        **fields
        | {
            "level": BudgetLevel(fields["level"]),
            "period": BudgetPeriod(fields["period"]),
            "soft_limits_percent": tuple(fields["soft_limits_percent"]),
        }
    )
