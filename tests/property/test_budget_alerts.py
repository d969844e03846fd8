"""Alerts: once per threshold and period, and exactly where the naive sum reaches it, however usage is batched."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from events.alert_raised import AlertRaised
from events.budget_changed import BudgetChanged, BudgetPeriod
from processors.budget.decide import alerts, days_read
from projections.live.budget import Budget, Budgets, evolve
from projections.live.node import Identity
from projections.live.period import period_before, period_of
from projections.live.spend import Group, SpendDay, charge, days_in, parse_spend_id, touched

HOUR_US = 3_600_000_000
START_QUARTER = 1_899_168  # 2024-03-01T00:00Z
CALLER = Identity("acme", None, None, None, None, "p", "m")
Call = tuple[int, int]
"""Quarter hour since the epoch, and cost."""

CALLS = st.lists(
    st.tuples(
        st.integers(START_QUARTER - 300, START_QUARTER + 300), st.one_of(st.just(0), st.integers(0, 40))
    ),
    max_size=30,
)
LIMITS = st.sampled_from([0, 1, 60, 100, 101])
THRESHOLDS = st.lists(st.sampled_from([1, 33, 50, 80, 100, 150]), max_size=4).map(tuple)


def budget_of(**fields: object) -> Budgets:
    return evolve(
        Budgets("acme"),
        BudgetChanged(
            event_id="018bcfe5-687b-7abc-8def-0123456789ab",
            occurred_at=0,
            source="test",
            tenant="acme",
            budget_id="b1",
            version=1,
            actor="op",
            **fields,  # type: ignore[arg-type]
        ),
    )


CALENDARS = st.builds(
    budget_of,
    period=st.sampled_from([kind for kind in BudgetPeriod if kind is not BudgetPeriod.ROLLING]),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
    limit_nano_usd=LIMITS,
    soft_limits_percent=THRESHOLDS,
    rollover_cap_nano_usd=st.sampled_from([0, 30, 1000]),
)
ROLLING = st.builds(
    budget_of,
    period=st.just(BudgetPeriod.ROLLING),
    rolling_hours=st.sampled_from([1, 5, 24, 48]),
    limit_nano_usd=LIMITS,
    soft_limits_percent=THRESHOLDS,
)


def raised_over(budgets: Budgets, batches: Sequence[Sequence[Call]]) -> list[AlertRaised]:
    """What the decider raises batch after batch, as the worker runs it: fold, then decide, then remember."""
    states: dict[str, SpendDay] = {}
    found: list[AlertRaised] = []
    for batch in batches:
        groups: dict[Group, list[int]] = {}
        for quarter, cost in batch:
            sums = groups.setdefault((CALLER, quarter), [0, 0, 0, 0, 0])
            sums[0] += cost
            sums[1] += 1
        charges = charge(groups)
        for spend, quarters in charges.items():
            states[spend] = states.get(spend, SpendDay(parse_spend_id(spend)[2])).plus(quarters)
        here = touched(charges, "acme", budgets.nodes, days_in(groups))
        announced = days_read(budgets, here, clock_us=1)

        def spend_of(node: str, day: int, announced: set[tuple[str, int]] = announced) -> SpendDay | None:
            assert (node, day) in announced
            return states.get(f"acme|{node}|{day}")

        known = {alert.event_id for alert in found}
        found += alerts(budgets, spend_of, here, known, clock_us=1)
    return found


def in_batches(calls: Sequence[Call], chance: Random) -> list[list[Call]]:
    shuffled = list(calls)
    chance.shuffle(shuffled)
    batches: list[list[Call]] = [[]]
    for call in shuffled:
        if chance.random() < 0.4:
            batches.append([])
        batches[-1].append(call)
    return batches


def spent(calls: Sequence[Call], start_us: int, end_us: int) -> int:
    return sum(cost for quarter, cost in calls if start_us <= quarter * 900_000_000 < end_us)


def calendar_alerts(budget: Budget, calls: Sequence[Call]) -> set[tuple[int, int]]:
    """(threshold, period start) by the rule itself, from all calls at once."""
    due = set()
    for quarter, _ in calls:
        period = period_of(budget, quarter * 900_000_000)
        limit = budget.limit_nano_usd
        if budget.rollover_cap_nano_usd:
            before = period_before(budget, period)
            left = limit - spent(calls, before.start_us, before.end_us)
            limit += max(0, min(left, budget.rollover_cap_nano_usd))
        cost = spent(calls, period.start_us, period.end_us)
        due |= {
            (percent, period.start_us)
            for percent in budget.soft_limits_percent
            if cost > 0 and cost * 100 >= percent * limit
        }
    return due


def rolling_alerts(budget: Budget, calls: Sequence[Call]) -> set[tuple[int, int]]:
    """(threshold, stretch of N hours) by the rule itself: the N hours before the end of each quarter hour of usage."""
    assert budget.rolling_hours is not None
    length_us = budget.rolling_hours * HOUR_US
    due = set()
    for quarter, _ in calls:
        end_us = (quarter + 1) * 900_000_000
        cost = spent(calls, end_us - length_us, end_us)
        due |= {
            (percent, (end_us - 1) // length_us)
            for percent in budget.soft_limits_percent
            if cost > 0 and cost * 100 >= percent * budget.limit_nano_usd
        }
    return due


@settings(max_examples=150)
@given(CALENDARS, CALLS, st.randoms(use_true_random=False))
def test_a_calendar_budget_alerts_exactly_where_the_sum_reaches_a_threshold(
    budgets: Budgets, calls: list[Call], chance: Random
) -> None:
    """Each threshold and period once; late usage, rollover and any batching included."""
    found = raised_over(budgets, in_batches(calls, chance))
    keys = [(alert.threshold_percent, alert.period_start) for alert in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) == calendar_alerts(budgets.budgets["b1"], calls)


@settings(max_examples=150)
@given(ROLLING, CALLS, st.randoms(use_true_random=False))
def test_a_rolling_budget_alerts_exactly_where_the_sum_reaches_a_threshold(
    budgets: Budgets, calls: list[Call], chance: Random
) -> None:
    """Each threshold once in each stretch of N hours; late usage and any batching included."""
    found = raised_over(budgets, in_batches(calls, chance))
    length_us = (budgets.budgets["b1"].rolling_hours or 0) * HOUR_US
    keys = [(alert.threshold_percent, ((alert.period_end or 0) - 1) // length_us) for alert in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) == rolling_alerts(budgets.budgets["b1"], calls)


@given(
    st.sampled_from([kind for kind in BudgetPeriod if kind is not BudgetPeriod.ROLLING]),
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(START_QUARTER - 80_000, START_QUARTER + 80_000),
    st.one_of(st.integers(-3_000, 3_000), st.integers(-80_000, 80_000)),
)
def test_no_two_periods_of_a_calendar_budget_share_an_alert(
    kind: BudgetPeriod, zone: str, quarter: int, later: int
) -> None:
    """Nor those of other lengths, where clocks are set or months differ."""
    budgets = budget_of(period=kind, zone=zone, limit_nano_usd=1, soft_limits_percent=(50,))
    found = raised_over(budgets, [[(quarter, 1)], [(quarter + later, 1)]])
    periods = {period_of(budgets.budgets["b1"], at * 900_000_000) for at in (quarter, quarter + later)}
    assert sorted((one.period_start, one.period_end) for one in found) == sorted(
        (period.start_us, period.end_us) for period in periods
    )


@given(st.one_of(CALENDARS, ROLLING), CALLS, st.randoms(use_true_random=False))
def test_batching_does_not_change_the_ids_of_alerts(
    budgets: Budgets, calls: list[Call], chance: Random
) -> None:
    """A replay in other batches raises the same alerts, so they are duplicates and are dropped."""
    in_one = {alert.event_id for alert in raised_over(budgets, [calls])}
    assert {alert.event_id for alert in raised_over(budgets, in_batches(calls, chance))} == in_one
