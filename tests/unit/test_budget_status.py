"""Budgets: the fold of BudgetChanged and how a budget stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from events.budget_changed import BudgetChange, BudgetChanged, BudgetLevel, BudgetPeriod
from projections.live.budget import Budgets, BudgetState, BudgetStatus, covers, evolve, status
from projections.live.node import Identity, nodes_of
from projections.live.spend import SpendDay, SpendOf, quarter_of


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def changed(version: int = 1, **fields: Any) -> BudgetChanged:
    given: dict[str, Any] = {
        "event_id": "018bcfe5-687b-7abc-8def-0123456789ab",
        "occurred_at": us("2024-01-01T00:00Z"),
        "source": "test",
        "tenant": "acme",
        "budget_id": "b1",
        "limit_nano_usd": 100,
        "actor": "op",
    }
    return BudgetChanged(version=version, **(given | fields))


def spending(*costs: tuple[str, int], node: str = "tenant") -> SpendOf:
    days: dict[int, SpendDay] = {}
    for at, cost in costs:
        day, quarter = divmod(quarter_of(us(at)), 96)
        days[day] = days.get(day, SpendDay(day)).plus({quarter: (cost, 1, 0, 0, 0)})
    return lambda asked, day: days.get(day) if asked == node else None


def stands(event: BudgetChanged, at: str, *costs: tuple[str, int]) -> BudgetStatus:
    budgets = evolve(Budgets("acme"), event)
    return status(budgets.budgets["b1"], us(at), spending(*costs))


def test_the_last_change_in_the_order_of_the_log_counts() -> None:
    """Two writers that both read version 1 both write version 2: the later one wins, and is told apart by its version."""
    budgets = evolve(evolve(Budgets("acme"), changed(2, limit_nano_usd=2)), changed(2, limit_nano_usd=9))
    assert budgets.budgets["b1"].limit_nano_usd == 9
    assert budgets.budgets["b1"].version == 3


def test_a_removed_budget_keeps_its_version() -> None:
    """So that versions go on rising when it is set again."""
    removed = evolve(evolve(Budgets("acme"), changed(1)), changed(1, change=BudgetChange.REMOVED))
    assert removed.budgets == {}
    assert removed.removed == {"b1": 2}
    assert evolve(removed, changed(1)).budgets["b1"].version == 3


def test_a_removed_budget_can_be_set_again_and_begins_then() -> None:
    """Since when it stands is told anew; a mere change keeps it."""
    first = evolve(evolve(Budgets("acme"), changed(1, occurred_at=10)), changed(2, occurred_at=20))
    assert first.budgets["b1"].since_us == 10
    assert first.budgets["b1"].changed_us == 20
    again = evolve(evolve(first, changed(3, change=BudgetChange.REMOVED)), changed(4, occurred_at=40))
    assert again.budgets["b1"].since_us == 40
    assert again.removed == {}


def test_budgets_are_the_same_after_a_round_trip() -> None:
    """And in the order of their ids, however they came."""
    one, two = changed(1, budget_id="z", level=BudgetLevel.TEAM, subject="search"), changed(1, budget_id="a")
    budgets = evolve(evolve(Budgets("acme"), one), two)
    assert Budgets.from_json(budgets.to_json()) == budgets
    assert evolve(evolve(Budgets("acme"), two), one).to_json() == budgets.to_json()
    assert list(budgets.budgets) == ["a", "z"]


def test_a_call_counts_against_the_budgets_of_its_nodes() -> None:
    """Tenant, team and the provider within it; not another team's."""
    budgets = Budgets("acme")
    described: dict[str, dict[str, Any]] = {
        "all": {},
        "search": {"level": BudgetLevel.TEAM, "subject": "search"},
        "search-openai": {"level": BudgetLevel.TEAM, "subject": "search", "provider": "openai"},
        "ads": {"level": BudgetLevel.TEAM, "subject": "ads"},
        "search-claude": {"level": BudgetLevel.TEAM, "subject": "search", "provider": "anthropic"},
    }
    for name, fields in described.items():
        budgets = evolve(budgets, changed(budget_id=name, **fields))
    call = Identity("acme", None, "search", None, None, "openai", "gpt-4o")
    covering = [name for name, budget in budgets.budgets.items() if budget.node in nodes_of(call)]
    assert covering == ["all", "search", "search-openai"]


@pytest.mark.parametrize(
    "node, covered",
    [
        ("team=search", True),
        ("team=search;provider=openai", True),
        ("team=search;provider=openai;model=gpt-4o", True),
        ("team=searching", False),
        ("team=ads", False),
        ("tenant", False),
    ],
)
def test_a_budget_covers_its_node_and_what_is_narrower(node: str, covered: bool) -> None:
    """By parts, not by how names begin."""
    budgets = evolve(Budgets("acme"), changed(level=BudgetLevel.TEAM, subject="search"))
    assert covers(budgets.budgets["b1"], node) is covered


def test_a_tenants_budget_covers_every_subject() -> None:
    """Narrowed to a provider, it covers that provider's calls of any team."""
    budget = evolve(Budgets("acme"), changed(provider="openai")).budgets["b1"]
    assert covers(budget, "team=ads;provider=openai;model=gpt-4o")
    assert not covers(budget, "team=ads")


def test_spending_below_every_soft_limit_is_ok() -> None:
    """49 of 100."""
    stood = stands(changed(), "2024-02-10T00:00Z", ("2024-02-01T00:00Z", 49))
    assert (stood.state, stood.remaining_nano_usd, stood.reached_percent) == (BudgetState.OK, 51, ())


def test_a_soft_limit_is_reached_at_its_share() -> None:
    """Exactly 80 of 100 reaches 50% and 80%."""
    stood = stands(changed(), "2024-02-10T00:00Z", ("2024-02-01T00:00Z", 80))
    assert (stood.state, stood.reached_percent) == (BudgetState.SOFT_LIMIT_REACHED, (50, 80))


def test_a_budget_is_exhausted_at_its_limit() -> None:
    """What remains is never below nothing."""
    stood = stands(changed(), "2024-02-10T00:00Z", ("2024-02-01T00:00Z", 130))
    assert (stood.state, stood.remaining_nano_usd) == (BudgetState.EXHAUSTED, 0)


def test_a_limit_of_zero_is_exhausted_before_any_spend_but_reached_by_none() -> None:
    """It denies from the start, and alerts at the first nano-dollar."""
    assert stands(changed(limit_nano_usd=0), "2024-02-10T00:00Z").state is BudgetState.EXHAUSTED
    assert stands(changed(limit_nano_usd=0), "2024-02-10T00:00Z").reached_percent == ()
    spent = stands(changed(limit_nano_usd=0), "2024-02-10T00:00Z", ("2024-02-01T00:00Z", 1))
    assert spent.reached_percent == (50, 80, 100)


def test_spend_of_another_period_does_not_count() -> None:
    """Nothing is reset: the next month simply sums other quarter hours."""
    costs = (("2024-01-31T23:59:59Z", 60), ("2024-02-01T00:00Z", 1), ("2024-03-01T00:00Z", 60))
    assert stands(changed(), "2024-02-10T00:00Z", *costs).spent.cost_nano_usd == 1


def test_what_the_last_period_left_rolls_over_up_to_the_cap() -> None:
    """70 were left of January; 30 may come along."""
    event = changed(rollover_cap_nano_usd=30, occurred_at=us("2023-06-01T00:00Z"))
    stood = stands(event, "2024-02-10T00:00Z", ("2024-01-05T00:00Z", 30), ("2024-02-01T00:00Z", 100))
    assert (stood.rollover_nano_usd, stood.limit_nano_usd, stood.remaining_nano_usd) == (30, 130, 30)


def test_an_overspent_period_leaves_nothing_and_takes_nothing() -> None:
    """A debt does not roll over."""
    event = changed(rollover_cap_nano_usd=30, occurred_at=us("2023-06-01T00:00Z"))
    assert stands(event, "2024-02-10T00:00Z", ("2024-01-05T00:00Z", 500)).limit_nano_usd == 100


def test_money_rolls_over_for_one_period_only() -> None:
    """February left its own 100 whole; what it had from January is gone, so March has the cap and no more."""
    event = changed(rollover_cap_nano_usd=500, occurred_at=us("2023-06-01T00:00Z"))
    assert stands(event, "2024-03-10T00:00Z").limit_nano_usd == 200


def test_nothing_rolls_over_from_before_the_budget_was_set() -> None:
    """Set in February: February has its limit; March may have what February left."""
    event = changed(rollover_cap_nano_usd=30, occurred_at=us("2024-02-05T00:00Z"))
    assert stands(event, "2024-02-10T00:00Z").limit_nano_usd == 100
    assert stands(event, "2024-03-10T00:00Z").limit_nano_usd == 130


def test_a_rolling_budget_has_no_rollover() -> None:
    """It never starts anew."""
    event = changed(period=BudgetPeriod.ROLLING, rolling_hours=24, rollover_cap_nano_usd=30, occurred_at=0)
    stood = stands(event, "2024-02-10T12:00Z", ("2024-02-09T12:20Z", 7), ("2024-02-09T11:59Z", 9))
    assert (stood.limit_nano_usd, stood.spent.cost_nano_usd) == (100, 7)


def test_a_refund_gives_room_again() -> None:
    """A correction is a compensating event with a negative cost."""
    costs = (("2024-02-01T00:00Z", 90), ("2024-02-02T00:00Z", -50))
    stood = stands(changed(), "2024-02-10T00:00Z", *costs)
    assert (stood.state, stood.remaining_nano_usd) == (BudgetState.OK, 60)
