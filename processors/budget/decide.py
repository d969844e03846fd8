"""Which alerts the spend of a batch raises. Pure: looks only at the periods that the batch touched.

Each soft limit is raised once per threshold and period, however usage is batched: an alert's id follows from the budget,
the threshold and the period, and ids that were raised before are not raised again. For a rolling budget, which has a
period for every quarter hour, once means once in each stretch of N hours counted from the epoch. A budget whose kind of
period changes is told no threshold again for a period of the same bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.budget_changed import BudgetPeriod
from events.envelope import MAX_LONG
from events.ids import derived_id
from events.money import format_usd
from projections.live.budget import Budget, Budgets, BudgetStatus, days_needed, judge, status_in
from projections.live.period import QUARTER_US, QUARTERS_PER_HOUR, Period, period_after, period_of
from projections.live.spend import SpendOf, days_of, spent_in, used_quarters

SOURCE = "interlock"
_CRITICAL_PERCENT = 100
_WARNING_PERCENT = 80
_LONGEST_NAME = 256

Touched = Mapping[str, Collection[int]]
"""Quarter hours since the epoch that a batch charged, by node; see projections.live.spend.touched."""


def alerts(
    budgets: Budgets,
    spend_of: SpendOf,
    touched: Touched,
    raised: Container[str],
    *,
    clock_us: int,
    changed: Collection[str] = (),
) -> list[AlertRaised]:
    """Alerts that follow from spend already posted, none of them in `raised`.

    `touched` is what usage charged; `changed` names budgets that were set, whose period of `clock_us` is looked at too.
    `spend_of` must know the days of `days_read` for the same arguments.
    """
    found: dict[str, AlertRaised] = {}
    for budget in _concerned(budgets, touched, changed):
        quarters = touched.get(budget.node, ())
        for status in _statuses(
            budget, spend_of, quarters, clock_us if budget.budget_id in changed else None
        ):
            for percent in status.reached_percent:
                alert_id = _alert_id(f"{budgets.tenant}/{budget.budget_id}", percent, status.period)
                if alert_id not in found and alert_id not in raised:
                    found[alert_id] = _alert(budgets.tenant, status, percent, alert_id, clock_us)
    return list(found.values())


def days_read(
    budgets: Budgets, touched: Touched, *, clock_us: int, changed: Collection[str] = ()
) -> set[tuple[str, int]]:
    """The (node, UTC day) pairs that `alerts` will ask for: what to have in memory before."""
    pairs: set[tuple[str, int]] = set()
    for budget in _concerned(budgets, touched, changed):
        quarters = touched.get(budget.node, ())
        at_us = clock_us if budget.budget_id in changed else None
        for period in _periods(budget, quarters, at_us):
            pairs.update((budget.node, day) for day in days_needed(budget, period))
        if budget.period is BudgetPeriod.ROLLING:
            for ends in _ends(budget, quarters):
                pairs.update((budget.node, day) for day in days_of(ends))
    return pairs


def _concerned(budgets: Budgets, touched: Touched, changed: Collection[str]) -> list[Budget]:
    return [
        budget
        for budget_id, budget in budgets.budgets.items()
        if budget.node in touched or budget_id in changed
    ]


def _statuses(
    budget: Budget, spend_of: SpendOf, quarters: Collection[int], at_us: int | None
) -> Iterator[BudgetStatus]:
    if budget.period is BudgetPeriod.ROLLING:
        yield from _rolling_statuses(budget, spend_of, quarters)
        quarters = ()
    for period in _periods(budget, quarters, at_us):
        yield status_in(budget, period, spend_of)


def _periods(budget: Budget, quarters: Collection[int], at_us: int | None) -> list[Period]:
    """The periods that usage in these quarter hours counts in, the current one of a changed budget, and, where money
    rolls over, the next: late usage takes from what it has.
    """
    instants = sorted(quarter * QUARTER_US for quarter in quarters)
    periods = dict.fromkeys(period_of(budget, at) for at in instants)
    if budget.rolls_over:
        periods |= dict.fromkeys(period_after(budget, period) for period in list(periods))
    if at_us is not None:
        periods[period_of(budget, at_us)] = None
    return list(periods)


def _rolling_statuses(budget: Budget, spend_of: SpendOf, quarters: Collection[int]) -> Iterator[BudgetStatus]:
    """The rolling periods that usage in these quarter hours counts in and that end with a quarter hour of usage.

    Those that end between are never fuller. One pass: what enters is added, what leaves is taken off.
    """
    length = _rolling_quarters(budget)
    for ends in _ends(budget, quarters):
        start = ends.start - length + 1
        spent = spent_in(spend_of, budget.node, range(start, ends.start))
        leaving = used_quarters(spend_of, budget.node, range(start, ends.stop))
        oldest = next(leaving, None)
        for end, cost in used_quarters(spend_of, budget.node, ends):
            spent = spent._replace(cost_nano_usd=spent.cost_nano_usd + cost)
            while oldest is not None and oldest[0] <= end - length:
                spent = spent._replace(cost_nano_usd=spent.cost_nano_usd - oldest[1])
                oldest = next(leaving, None)
            period = Period((end + 1 - length) * QUARTER_US, (end + 1) * QUARTER_US)
            yield judge(budget, period, spent, 0)


def _ends(budget: Budget, quarters: Collection[int]) -> Iterable[range]:
    """Last quarter hours of the rolling periods that usage in these quarter hours counts in, as disjoint ranges."""
    length = _rolling_quarters(budget)
    start = stop = 0
    for quarter in sorted(quarters):
        if quarter > stop:
            if stop:
                yield range(start, stop)
            start = quarter
        stop = quarter + length
    if stop:
        yield range(start, stop)


def _rolling_quarters(budget: Budget) -> int:
    return (budget.rolling_hours or 0) * QUARTERS_PER_HOUR


def _alert_id(subject: str, percent: int, period: Period) -> str:
    """By the period's bounds alone: the stretch of the period's length, counted from the epoch, in which it ends.

    Each calendar period has one of its own, for two of the same length do not overlap; rolling ones share theirs.
    """
    length_us = period.end_us - period.start_us
    start_us = (period.end_us - 1) // length_us * length_us
    return derived_id(f"alert:{subject}", f"{percent}%:{start_us}-{start_us + length_us}")


def _alert(tenant: str, status: BudgetStatus, percent: int, alert_id: str, clock_us: int) -> AlertRaised:
    budget, cost = status.budget, status.spent.cost_nano_usd
    if percent >= _CRITICAL_PERCENT:
        severity = AlertSeverity.CRITICAL
    elif percent >= _WARNING_PERCENT:
        severity = AlertSeverity.WARNING
    else:
        severity = AlertSeverity.INFO
    return AlertRaised(
        event_id=alert_id,
        occurred_at=clock_us,
        source=SOURCE,
        tenant=tenant,
        kind=AlertKind.BUDGET_THRESHOLD,
        severity=severity,
        subject=f"{tenant}/{budget.budget_id}"[:_LONGEST_NAME],
        title=f"Budget {budget.budget_id}: {percent}% reached, {format_usd(cost)} of"
        f" {format_usd(status.limit_nano_usd)} USD spent",
        threshold_percent=percent,
        period_start=status.period.start_us,
        period_end=status.period.end_us,
        value_nano_usd=min(cost, MAX_LONG),
        limit_nano_usd=min(status.limit_nano_usd, MAX_LONG),
    )
