"""Budget alerts: each soft limit once per threshold and period."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Any

import pytest

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.budget_changed import BudgetChanged, BudgetPeriod
from events.envelope import MAX_LONG
from processors.budget.decide import alerts, days_read
from projections.live.budget import Budgets, evolve
from projections.live.raised import MOST_IDS, Raised
from projections.live.spend import SpendDay, quarter_of

NODE = "tenant"


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


NOW_US = us("2024-02-20T00:00Z")


class Ledger:
    """Spend of one node, posted as a test goes on; it knows what the last posting touched."""

    def __init__(self, **fields: Any) -> None:
        self.days: dict[int, SpendDay] = {}
        self.touched: dict[str, set[int]] = {}
        self.raised: set[str] = set()
        self.budgets = Budgets("acme")
        self.change(**fields)

    def change(self, version: int = 1, **fields: Any) -> None:
        given: dict[str, Any] = {
            "event_id": "018bcfe5-687b-7abc-8def-0123456789ab",
            "occurred_at": us("2023-01-01T00:00Z"),
            "source": "test",
            "tenant": "acme",
            "budget_id": "b1",
            "limit_nano_usd": 100,
            "actor": "op",
        }
        self.budgets = evolve(self.budgets, BudgetChanged(version=version, **(given | fields)))

    def post(self, *costs: tuple[str, int]) -> list[AlertRaised]:
        """One batch of usage; the alerts it raises, which are then known."""
        quarters = set()
        for at, cost in costs:
            quarter = quarter_of(us(at))
            quarters.add(quarter)
            day = quarter // 96
            self.days[day] = self.days.get(day, SpendDay(day)).plus({quarter % 96: (cost, 1, 0, 0, 0)})
        self.touched = {NODE: quarters}
        found = self.decide(self.raised)
        self.raised.update(alert.event_id for alert in found)
        return found

    def decide(self, raised: Container[str], changed: tuple[str, ...] = ()) -> list[AlertRaised]:
        readable = days_read(self.budgets, self.touched, clock_us=NOW_US, changed=changed)

        def spend_of(node: str, day: int) -> SpendDay | None:
            assert (node, day) in readable, "read a day that was not announced"
            return self.days.get(day) if node == NODE else None

        return alerts(self.budgets, spend_of, self.touched, raised, clock_us=NOW_US, changed=changed)


def percents(found: list[AlertRaised]) -> list[int | None]:
    return [alert.threshold_percent for alert in found]


def test_a_threshold_alerts_when_spend_reaches_it() -> None:
    """Not one nano-dollar before."""
    ledger = Ledger()
    assert ledger.post(("2024-02-01T00:00Z", 49)) == []
    assert percents(ledger.post(("2024-02-02T00:00Z", 1))) == [50]


def test_a_threshold_alerts_once_a_period() -> None:
    """More spend beyond it says nothing new; the next month does."""
    ledger = Ledger()
    assert percents(ledger.post(("2024-02-01T00:00Z", 60))) == [50]
    assert ledger.post(("2024-02-02T00:00Z", 1)) == []
    assert percents(ledger.post(("2024-03-01T00:00Z", 50))) == [50]


def test_one_batch_may_pass_several_thresholds() -> None:
    """Each is told, the lowest first, with its severity."""
    found = Ledger().post(("2024-02-01T00:00Z", 150))
    assert [(alert.threshold_percent, alert.severity) for alert in found] == [
        (50, AlertSeverity.INFO),
        (80, AlertSeverity.WARNING),
        (100, AlertSeverity.CRITICAL),
    ]


def test_an_alert_tells_the_budget_its_period_and_the_amounts() -> None:
    """All that a person needs to act, in one event."""
    (alert,) = Ledger(limit_nano_usd=2_000_000_000).post(("2024-02-01T00:00Z", 1_200_000_000))
    assert alert.kind is AlertKind.BUDGET_THRESHOLD
    assert (alert.subject, alert.tenant, alert.tenant_or_provider) == ("acme/b1", "acme", "acme")
    assert alert.title == "Budget b1: 50% reached, 1.2 of 2 USD spent"
    assert (alert.period_start, alert.period_end) == (us("2024-02-01T00:00Z"), us("2024-03-01T00:00Z"))
    assert (alert.value_nano_usd, alert.limit_nano_usd) == (1_200_000_000, 2_000_000_000)
    assert alert.occurred_at == NOW_US


def test_late_usage_alerts_in_the_period_of_its_own_time() -> None:
    """In February, usage of January may take January over its limit."""
    (alert,) = Ledger().post(("2024-01-31T23:59Z", 50))
    assert alert.period_end == us("2024-02-01T00:00Z")


def test_late_usage_takes_from_what_rolled_over() -> None:
    """February stood at 120 of 150; late usage of January leaves it at 120 of 120."""
    ledger = Ledger(rollover_cap_nano_usd=50, soft_limits_percent=(100,))
    assert ledger.post(("2024-01-05T00:00Z", 10), ("2024-02-05T00:00Z", 120)) == []
    (alert,) = ledger.post(("2024-01-31T00:00Z", 70))
    assert alert.period_start == us("2024-02-01T00:00Z")
    assert alert.limit_nano_usd == 120


def test_a_limit_of_zero_alerts_at_the_first_spend() -> None:
    """Free calls do not count; the first nano-dollar does."""
    ledger = Ledger(limit_nano_usd=0, soft_limits_percent=(100,))
    assert ledger.post(("2024-02-01T00:00Z", 0)) == []
    assert percents(ledger.post(("2024-02-01T00:00Z", 1))) == [100]


def test_the_same_threshold_and_period_have_the_same_id_in_any_version() -> None:
    """A change of the budget does not raise again what was raised."""
    ledger = Ledger()
    (first,) = ledger.post(("2024-02-01T00:00Z", 60))
    ledger.change(2, limit_nano_usd=110)
    assert ledger.decide(raised=ledger.raised, changed=("b1",)) == []
    (again,) = ledger.decide(raised=(), changed=("b1",))
    assert again.event_id == first.event_id


def test_a_lowered_limit_alerts_at_once() -> None:
    """The change itself is looked at, in the current period, without new usage."""
    ledger = Ledger()
    ledger.post(("2024-02-01T00:00Z", 45))
    ledger.touched = {}
    ledger.change(2, limit_nano_usd=90)
    assert percents(ledger.decide(ledger.raised, changed=("b1",))) == [50]


def test_budgets_of_untouched_nodes_are_not_looked_at() -> None:
    """No reads, no alerts."""
    ledger = Ledger()
    assert days_read(ledger.budgets, {"team=ads": {1}}, clock_us=NOW_US) == set()


def test_repeated_thresholds_alert_once() -> None:
    """A budget that lists 50 twice means 50."""
    assert percents(Ledger(soft_limits_percent=(80, 50, 50)).post(("2024-02-01T00:00Z", 90))) == [50, 80]


def rolling(**fields: Any) -> Ledger:
    return Ledger(period=BudgetPeriod.ROLLING, rolling_hours=24, **fields)


def test_a_rolling_budget_alerts_on_the_last_hours() -> None:
    """Spend of yesterday counts until 24 hours have passed."""
    ledger = rolling()
    assert ledger.post(("2024-02-01T12:00Z", 49)) == []
    assert percents(ledger.post(("2024-02-02T11:59Z", 1))) == [50]


def test_spend_that_rolled_out_does_not_count() -> None:
    """24 hours later it is gone."""
    ledger = rolling()
    assert ledger.post(("2024-02-01T12:00Z", 49)) == []
    assert ledger.post(("2024-02-02T12:00Z", 49)) == []


def test_a_rolling_budget_does_not_alert_every_quarter_hour() -> None:
    """Once in each stretch of N hours counted from the epoch."""
    ledger = rolling(soft_limits_percent=(50,))
    assert len(ledger.post(("2024-02-01T12:00Z", 60))) == 1
    assert ledger.post(("2024-02-01T12:15Z", 1), ("2024-02-01T23:59Z", 1)) == []
    assert len(ledger.post(("2024-02-02T00:00Z", 1))) == 1


def test_a_period_is_told_once_though_the_budget_came_to_it_by_another_kind() -> None:
    """22:15 UTC is a full hour in Kathmandu: the hour before it is a calendar hour there, and a rolling one."""
    ledger = Ledger(period=BudgetPeriod.ROLLING, rolling_hours=1)
    (rolled,) = ledger.post(("2024-02-01T22:00Z", 50))
    ledger.change(version=2, period=BudgetPeriod.HOUR, zone="Asia/Kathmandu")
    found = ledger.decide(set())
    assert [(one.event_id, one.period_start, one.period_end) for one in found] == [
        (rolled.event_id, rolled.period_start, rolled.period_end)
    ]
    assert ledger.decide(ledger.raised) == []


def test_late_usage_is_seen_in_the_rolling_periods_that_follow_it() -> None:
    """It belongs to every period that reaches back to it: the fullest of them alerts."""
    ledger = rolling()
    assert ledger.post(("2024-02-01T18:00Z", 40)) == []
    (alert,) = ledger.post(("2024-02-01T10:00Z", 10))
    assert alert.period_end == us("2024-02-01T18:15Z")


def test_amounts_beyond_64_bits_do_not_stop_the_alert() -> None:
    """The event tells the most it can."""
    found = Ledger().post(("2024-02-01T00:00Z", MAX_LONG), ("2024-02-01T00:00Z", MAX_LONG))
    assert {alert.value_nano_usd for alert in found} == {MAX_LONG}


@pytest.mark.parametrize("length", [1, 256])
def test_the_subject_of_an_alert_fits_its_field(length: int) -> None:
    """Names of full length are cut at 256 characters."""
    (alert,) = Ledger(budget_id="b" * length).post(("2024-02-01T00:00Z", 50))
    assert len(alert.subject) == min(256, len("acme/") + length)


def test_raised_ids_are_known_and_the_same_after_a_round_trip() -> None:
    """Their order does not show."""
    found = Ledger().post(("2024-02-01T00:00Z", 150))
    raised = Raised("acme").plus(found)
    assert all(alert.event_id in raised for alert in found)
    assert Raised.from_json(raised.to_json()) == raised
    assert Raised("acme").plus(reversed(found)).to_json() == raised.to_json()


def test_raised_ids_are_bounded_and_the_oldest_periods_go_first() -> None:
    """A tenant's memory of alerts does not grow for ever."""
    ends = {f"id-{number}": number for number in range(MOST_IDS)}
    (alert,) = Ledger().post(("2024-02-01T00:00Z", 50))
    raised = Raised("acme", ends).plus([alert])
    assert len(raised.period_ends) == MOST_IDS
    assert "id-0" not in raised
    assert alert.event_id in raised
