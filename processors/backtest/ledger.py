"""Spend against limits: what is charged, and which budgets alert or overrun. Pure; one tenant partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from events.alert_raised import AlertRaised
from events.budget_changed import BudgetChange, BudgetChanged
from processors.budget.decide import alerts
from processors.budget.headroom import Headroom
from projections.live.budget import Budget, Budgets, evolve
from projections.live.node import nodes_of
from projections.live.period import Period
from projections.live.spend import (
    QUARTERS_PER_DAY,
    Charges,
    Group,
    SpendDay,
    SpendOf,
    parse_spend_id,
    spend_id,
    spent_in,
    touched,
)

WHOLE_PERCENT = 100
STRETCH_MS = 1_000
"""Budgets are looked at each time that the records' clock has moved on by so much."""


class Spend:
    """What was charged to the nodes that have budgets at some time; all others are of no interest here."""

    def __init__(self, nodes: Mapping[str, frozenset[str]]) -> None:
        """`nodes`: by tenant."""
        self._nodes = nodes
        self._days: dict[str, SpendDay] = {}

    def post(self, groups: Mapping[Group, Sequence[int]]) -> Charges:
        """Add sums by identity and quarter hour; what was charged to the nodes by that."""
        charges: Charges = {}
        for (identity, number), sums in groups.items():
            wanted = self._nodes.get(identity.tenant)
            if wanted is None:
                continue
            day, quarter = divmod(number, QUARTERS_PER_DAY)
            for node in nodes_of(identity):
                if node in wanted:
                    held = charges.setdefault(spend_id(identity.tenant, node, day), {}).setdefault(
                        quarter, [0] * 5
                    )
                    for index, value in enumerate(sums):
                        held[index] += value
        for key, quarters in charges.items():
            known = self._days.get(key) or SpendDay(parse_spend_id(key)[2])
            self._days[key] = known.plus(quarters)
        return charges

    def of(self, tenant: str) -> SpendOf:
        """A tenant's spend by node and day."""
        return lambda node, day: self._days.get(spend_id(tenant, node, day))


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold of a budget that was reached: `at_us` by the fold's clock, with what was spent then."""

    alert_id: str
    tenant: str
    budget_id: str
    percent: int
    period: Period
    at_us: int
    spent_nano_usd: int
    limit_nano_usd: int

    @classmethod
    def of(cls, alert: AlertRaised) -> Reached:
        """What an alert says."""
        return cls(
            alert.event_id,
            alert.tenant,
            alert.subject.partition("/")[2],
            alert.threshold_percent or 0,
            Period(alert.period_start or 0, alert.period_end or 0),
            alert.occurred_at,
            alert.value_nano_usd or 0,
            alert.limit_nano_usd or 0,
        )


@dataclass(frozen=True, slots=True)
class Overrun:
    """A period in which all of a budget was spent. `spent_nano_usd` is what the period has come to in the end."""

    reached: Reached
    is_hard: bool
    spent_nano_usd: int


@dataclass(slots=True)
class _Kept:
    """Budgets of a tenant. In `watched` each has a threshold at 100 %, which is when it is overrun: `noted` are the ids of
    those that raise no alert.
    """

    plain: Budgets
    watched: Budgets
    raised: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)


class Ledger:
    """Budgets against one spend, which two ledgers may share. Mutable."""

    def __init__(self, spend: Spend) -> None:
        self.spend = spend
        self.alerts: list[Reached] = []
        self._overruns: dict[str, tuple[Reached, Budget]] = {}
        self._tenants: dict[str, _Kept] = {}
        self._headroom = Headroom()

    def change(self, event: BudgetChanged, clock_us: int, *, counts: bool) -> None:
        """Set or remove a budget; what is spent already may reach its thresholds at once."""
        kept = self._kept(event.tenant)
        kept.plain = evolve(kept.plain, event)
        kept.watched = _watched(kept.plain, kept.watched)
        kept.noted.clear()
        if event.change is BudgetChange.SET:
            self._raise(kept, kept.watched, {}, clock_us, counts=counts, changed=[event.budget_id])

    def post(self, charges: Charges, groups: Iterable[Group], clock_us: int, *, counts: bool) -> None:
        """What was charged by a stretch of usage."""
        tenants: dict[str, set[int]] = {}
        for identity, number in groups:
            if identity.tenant in self._tenants:
                tenants.setdefault(identity.tenant, set()).add(number // QUARTERS_PER_DAY)
        for tenant, days in tenants.items():
            kept = self._tenants[tenant]
            nodes = touched(charges, tenant, kept.watched.nodes, days)
            near = self._headroom.near(kept.watched, nodes, charges)
            if near.budgets:
                self._raise(kept, near, nodes, clock_us, counts=counts)
                self._headroom.measure(near, nodes, self.spend.of(tenant))

    def overruns(self) -> list[Overrun]:
        """All periods that were spent whole, with what they have come to by now."""
        return [
            Overrun(
                reached,
                budget.hard,
                spent_in(self.spend.of(reached.tenant), budget.node, reached.period.quarters).cost_nano_usd,
            )
            for reached, budget in self._overruns.values()
        ]

    def _raise(
        self,
        kept: _Kept,
        budgets: Budgets,
        nodes: Mapping[str, set[int]],
        clock_us: int,
        *,
        counts: bool,
        changed: Sequence[str] = (),
    ) -> None:
        found = alerts(
            budgets,
            self.spend.of(budgets.tenant),
            nodes,
            kept.raised | kept.noted if kept.noted else kept.raised,
            clock_us=clock_us,
            changed=changed,
        )
        for alert in found:
            reached = Reached.of(alert)
            budget = kept.plain.budgets[reached.budget_id]
            is_alert = reached.percent in budget.soft_limits_percent
            (kept.raised if is_alert else kept.noted).add(reached.alert_id)
            if counts and is_alert:
                self.alerts.append(reached)
            if counts and reached.percent == WHOLE_PERCENT:
                self._overruns.setdefault(reached.alert_id, (reached, budget))

    def _kept(self, tenant: str) -> _Kept:
        kept = self._tenants.get(tenant)
        if kept is None:
            kept = self._tenants[tenant] = _Kept(Budgets(tenant), Budgets(tenant))
        return kept


def _watched(plain: Budgets, before: Budgets) -> Budgets:
    """The same budgets with a threshold at 100 %; those that did not change stay the same objects."""
    watched = {}
    for budget_id, budget in plain.budgets.items():
        percents = tuple(sorted({*budget.soft_limits_percent, WHOLE_PERCENT}))
        same = before.budgets.get(budget_id)
        changed = replace(budget, soft_limits_percent=percents)
        watched[budget_id] = same if same is not None and same == changed else changed
    return Budgets(plain.tenant, watched, plain.removed)
