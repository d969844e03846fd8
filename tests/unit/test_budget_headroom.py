"""Headroom: a budget that is surely not near an alert is passed over, and no alert is missed by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from events.budget_changed import BudgetChanged, BudgetPeriod
from processors.budget.headroom import Headroom
from projections.live.budget import Budgets, evolve
from projections.live.node import Identity
from projections.live.period import QUARTER_US
from projections.live.spend import SpendDay, charge, days_in, parse_spend_id, touched

START_QUARTER = 1_899_168  # 2024-03-01T00:00Z
CALLER = Identity("acme", None, None, None, None, "p", "m")


def budgets_of(period: BudgetPeriod = BudgetPeriod.MONTH, rolling_hours: int | None = None) -> Budgets:
    change = BudgetChanged(
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        occurred_at=START_QUARTER * QUARTER_US,
        source="test",
        tenant="acme",
        budget_id="b1",
        version=1,
        period=period,
        rolling_hours=rolling_hours,
        limit_nano_usd=100,
        soft_limits_percent=(50, 80),
        actor="op",
    )
    return evolve(Budgets("acme"), change)


class Ledger:
    """Posts calls as the worker does, and tells which budgets were looked at."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self.headroom = Headroom()
        self.days: dict[str, SpendDay] = {}

    def is_near(self, cost: int, quarter: int = START_QUARTER) -> bool:
        groups = {(CALLER, quarter): [cost, 1, 0, 0, 0]}
        charges = charge(groups)
        for spend, quarters in charges.items():
            self.days[spend] = self.days.get(spend, SpendDay(parse_spend_id(spend)[2])).plus(quarters)
        nodes = touched(charges, "acme", self.budgets.nodes, days_in(groups))
        near = self.headroom.near(self.budgets, nodes, charges)
        self.headroom.measure(near, nodes, lambda node, day: self.days.get(f"acme|{node}|{day}"))
        return bool(near.budgets)


def test_a_budget_is_looked_at_first_and_then_only_where_a_limit_is_reached() -> None:
    """49 of 100 leaves one to the limit of 50%, and 79 leaves one to that of 80%."""
    ledger = Ledger(budgets_of())
    looked_at = [ledger.is_near(cost) for cost in (40, 9, 1, 29, 1, 1_000)]
    assert looked_at == [True, False, True, False, True, False]


def test_small_steps_add_up() -> None:
    """What was passed over is not forgotten."""
    ledger = Ledger(budgets_of())
    assert [ledger.is_near(10) for _ in range(5)] == [True, False, False, False, True]


def test_money_given_back_never_hides_an_alert() -> None:
    """A correction brings the limit further away; the budget is looked at earlier than it need be, never later."""
    ledger = Ledger(budgets_of())
    assert [ledger.is_near(cost) for cost in (40, -30, 9, 1)] == [True, False, False, True]


def test_another_period_is_looked_at() -> None:
    """The next month, and the month before when usage comes late."""
    ledger = Ledger(budgets_of())
    assert ledger.is_near(1)
    assert ledger.is_near(1, START_QUARTER + 31 * 96)
    assert ledger.is_near(1, START_QUARTER - 1)


def test_a_budget_that_was_set_anew_is_looked_at() -> None:
    """Its limit may be another one."""
    ledger = Ledger(budgets_of())
    assert ledger.is_near(1)
    kept = ledger.budgets.budgets["b1"]
    ledger.budgets = replace(ledger.budgets, budgets={"b1": replace(kept, limit_nano_usd=4)})
    assert ledger.is_near(1)


@pytest.mark.parametrize("cost", [1, 10])
def test_rolling_budgets_are_always_looked_at(cost: int) -> None:
    """Their sums fall too, when the time of spending passes."""
    ledger = Ledger(budgets_of(BudgetPeriod.ROLLING, rolling_hours=24))
    assert [ledger.is_near(cost) for _ in range(3)] == [True, True, True]
