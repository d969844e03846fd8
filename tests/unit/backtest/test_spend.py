"""Budgets and prices over a log of a few calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from api.backtest.document import alert_rows, document
from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.budget_changed import BudgetChange, BudgetChanged, BudgetPeriod
from events.catalogue import TOPIC_OF_EVENT
from events.envelope import Event, OutcomeKind
from events.ids import derived_id
from events.partitioner import partition_of
from events.settings import LogSettings
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from processors.backtest.policy import TriedPolicy
from processors.backtest.prices import Prices, rates
from tests.backtest_source import backtest
from tests.simulation.log import MemoryLog, record_of
from tests.simulation.scenario import shipped_codec

USD = 10**9
NOON_US = 1_700_049_600_000_000
"""2023-11-15T12:00:00Z."""


@dataclass
class Ledgers:
    """A log that calls and budgets are written to, some seconds after noon."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog(LogSettings(partitions=2)))

    def append(self, event: Event, after_s: float) -> None:
        """One event."""
        topic = TOPIC_OF_EVENT[type(event)]
        key = topic.key_of(event).encode()
        record = record_of(key, shipped_codec().encode(event), NOON_US // 1000 + round(after_s * 1000))
        self.log.append(topic.name, partition_of(key, 2), record)

    def call(self, after_s: float, cost: int | None = USD, *, tenant: str = "acme", **more: Any) -> None:
        """One call that went well."""
        values: dict[str, Any] = {
            "event_id": derived_id("call", f"{tenant}-{after_s}"),
            "occurred_at": NOON_US + round(after_s * 10**6),
            "source": "test",
            "tenant": tenant,
            "request_id": "r",
            "provider": "openai",
            "model": "gpt-4o",
            "outcome": OutcomeKind.SUCCESS,
            "cost_nano_usd": cost,
        }
        self.append(UsageRecorded(**values | more), after_s)

    def adjusted(self, after_s: float, call_s: float, cost: int, **more: Any) -> None:
        """The call of some second corrected, which did cost a dollar."""
        values: dict[str, Any] = {
            "event_id": derived_id("adjusted", f"{call_s}-{after_s}"),
            "occurred_at": NOON_US + round(after_s * 10**6),
            "source": "test",
            "tenant": "acme",
            "usage_id": derived_id("call", f"acme-{call_s}"),
            "usage_occurred_at": NOON_US + round(call_s * 10**6),
            "provider": "openai",
            "model": "gpt-4o",
            "outcome": OutcomeKind.SUCCESS,
            "cost_before_nano_usd": USD,
            "cost_after_nano_usd": cost,
            "price_version": "other",
            "actor": "ann",
        }
        self.append(SpendAdjusted(**values | more), after_s)


def budget(limit: int, **more: Any) -> BudgetChanged:
    """Acme's budget of a day."""
    values: dict[str, Any] = {
        "event_id": derived_id("budget", str((limit, more))),
        "occurred_at": NOON_US,
        "source": "test",
        "tenant": "acme",
        "budget_id": "daily",
        "version": 1,
        "period": BudgetPeriod.DAY,
        "limit_nano_usd": limit,
        "actor": "ann",
    }
    return BudgetChanged(**values | more)


def test_a_lower_limit_alerts_and_overruns_when_the_spend_reaches_it() -> None:
    """Ten dollars were never reached; of four, half, most and all are, each once, and two are spent beyond."""
    given = Ledgers()
    given.append(budget(100 * USD), 0)
    for at in range(1, 7):
        given.call(at)
    outcome = backtest(given.log, TriedPolicy(budgets=(budget(4 * USD),)))
    told = [(one.percent, (one.at_us - NOON_US) // 10**6) for one in outcome.alerts.added]
    assert told == [(50, 2), (80, 4), (100, 4)]
    assert outcome.overruns_recorded == ()
    [over] = outcome.overruns_tried
    assert (over.spent_nano_usd, over.reached.limit_nano_usd, over.is_hard) == (6 * USD, 4 * USD, True)
    assert not outcome.changes_nothing
    assert outcome.is_reproduced


def test_an_alert_of_both_sides_is_told_when_it_moves() -> None:
    """Half of eight dollars is spent later than half of four; what both raise at once is the same."""
    given = Ledgers()
    given.append(budget(4 * USD, soft_limits_percent=(50,)), 0)
    for at in range(1, 7):
        given.call(at)
    outcome = backtest(given.log, TriedPolicy(budgets=(budget(8 * USD, soft_limits_percent=(50,)),)))
    assert (outcome.alerts.added, outcome.alerts.removed, outcome.alerts.same) == ([], [], 0)
    [(again, tried)] = outcome.alerts.moved
    assert [(one.at_us - NOON_US) // 10**6 for one in (again, tried)] == [2, 4]
    assert not outcome.changes_nothing
    [row] = alert_rows(document(outcome)["budgets"]["alerts"])
    assert row[:3] == ("later", "2023-11-15T12:00:04Z", "2023-11-15T12:00:02Z")
    same = backtest(given.log, TriedPolicy(budgets=(budget(4 * USD, soft_limits_percent=(50,)),)))
    assert (same.alerts.moved, same.alerts.same) == ([], 1)


def test_a_budget_that_is_not_there_alerts_nobody() -> None:
    """And alerts that are on the log are reproduced by the recorded settings before they are removed by the tried ones."""
    given = Ledgers()
    given.append(budget(2 * USD, soft_limits_percent=(50,)), 0)
    given.call(1)
    plain = backtest(given.log)
    [raised] = plain.alerts.again.values()
    assert [one.alert_id for one in plain.not_reproduced_alerts] == [raised.alert_id]
    given.append(
        AlertRaised(
            event_id=raised.alert_id,
            occurred_at=raised.at_us,
            source="interlock",
            tenant="acme",
            kind=AlertKind.BUDGET_THRESHOLD,
            severity=AlertSeverity.INFO,
            subject="acme/daily",
            title="half",
            threshold_percent=50,
            period_start=raised.period.start_us,
            period_end=raised.period.end_us,
        ),
        1,
    )
    outcome = backtest(given.log, TriedPolicy(budgets=(budget(0, change=BudgetChange.REMOVED),)))
    assert outcome.is_reproduced
    assert [one.percent for one in outcome.alerts.removed] == [50]
    assert outcome.alerts.added == []


def test_spend_before_the_time_asked_about_counts_but_is_not_told() -> None:
    """The period began before: what was spent then is spent, at what it did cost."""
    given = Ledgers()
    given.append(budget(100 * USD), 0)
    for at in range(1, 5):
        given.call(at)
    outcome = backtest(given.log, TriedPolicy(budgets=(budget(4 * USD),)), from_us=NOON_US + 4_000_000)
    assert [one.percent for one in outcome.alerts.added] == [50, 80, 100]
    assert {one.at_us for one in outcome.alerts.added} == {NOON_US + 4_000_000}
    [cost] = outcome.costs.values()
    assert (cost.calls, cost.recorded_nano_usd) == (1, USD)


def test_a_time_within_a_second_divides_its_calls() -> None:
    """What came before it belongs to the one part, what came after it to the other."""
    given = Ledgers()
    for at in (4.2, 4.5, 4.7):
        given.call(at)
    middle_us = NOON_US + 4_400_001
    after = backtest(given.log, from_us=middle_us)
    before = backtest(given.log, to_us=middle_us)
    assert [sum(cost.calls for cost in one.costs.values()) for one in (before, after)] == [1, 2]


def test_new_prices_are_charged_to_the_budgets() -> None:
    """Tokens are priced anew, in whole nano-USD, half to even; a budget sees what the calls would have cost."""
    given = Ledgers()
    given.append(budget(10 * USD, soft_limits_percent=(100,)), 0)
    given.call(1, 3 * USD, input_tokens=1_000_000, cached_input_tokens=400_000, output_tokens=500_000)
    given.call(2, None, input_tokens=1, output_tokens=0)
    given.call(3, -2 * USD)
    given.call(4, 5, model="o1")
    dear = rates(
        input_nano_usd=10 * USD,
        cached_input_nano_usd=5 * USD,
        output_nano_usd=20 * USD,
        request_nano_usd=7,
    )
    outcome = backtest(given.log, TriedPolicy(prices=Prices({("openai", "gpt-4o"): dear})))
    cost = outcome.costs["acme", "openai", "gpt-4o"]
    assert (cost.calls, cost.recorded_nano_usd) == (3, USD)
    assert cost.tried_nano_usd == 18 * USD + 7 + 10_007 - 2 * USD
    assert (cost.unpriced_recorded, cost.unpriced_tried) == (1, 0)
    assert outcome.costs["acme", "openai", "o1"].tried_nano_usd == 5
    assert [one.percent for one in outcome.alerts.added] == [100]
    assert len(outcome.overruns_tried) == 1


def test_an_adjustment_counts_once_on_both_sides() -> None:
    """Also after the last call, and told twice. The limit of the policy is reached by it, the recorded one is not."""
    given = Ledgers()
    given.append(budget(100 * USD, soft_limits_percent=(100,)), 0)
    given.call(1)
    given.call(2, None)
    for _ in range(2):
        given.adjusted(7200, 1, 5 * USD)
        given.adjusted(7200.5, 2, 3 * USD, cost_before_nano_usd=None)
    outcome = backtest(given.log, TriedPolicy(budgets=(budget(8 * USD, soft_limits_percent=(100,)),)))
    [cost] = outcome.costs.values()
    assert (cost.calls, cost.recorded_nano_usd, cost.tried_nano_usd) == (2, 8 * USD, 8 * USD)
    assert (cost.unpriced_recorded, cost.unpriced_tried) == (0, 0)
    assert [(one.spent_nano_usd, one.at_us) for one in outcome.alerts.added] == [
        (8 * USD, NOON_US + 7200 * 10**6)
    ]
    assert outcome.ends_us > NOON_US + 7200 * 10**6


def test_prices_that_are_tried_win_over_adjustments_of_their_calls() -> None:
    """A call before the time asked about, and one to a model of which they say nothing, count for what they were adjusted to."""
    given = Ledgers()
    given.append(budget(100 * USD, soft_limits_percent=(11, 12)), 0)
    for at in (1, 11):
        given.call(at)
    given.call(12, model="o1")
    given.adjusted(20, 1, 3 * USD)
    given.adjusted(20.1, 11, 7 * USD)
    given.adjusted(20.2, 12, 5 * USD, model="o1")
    dear = rates(input_nano_usd=0, cached_input_nano_usd=0, output_nano_usd=0, request_nano_usd=4 * USD)
    outcome = backtest(
        given.log,
        TriedPolicy(prices=Prices({("openai", "gpt-4o"): dear})),
        from_us=NOON_US + 10_000_000,
    )
    costs = {key[2]: (one.recorded_nano_usd, one.tried_nano_usd) for key, one in outcome.costs.items()}
    assert costs == {"gpt-4o": (7 * USD, 4 * USD), "o1": (5 * USD, 5 * USD)}
    assert [one.spent_nano_usd for one in outcome.alerts.again.values()] == [15 * USD, 15 * USD]
    assert [one.spent_nano_usd for one in outcome.alerts.tried.values()] == [12 * USD, 12 * USD]


def test_a_call_before_the_time_asked_about_that_is_adjusted_since_counts_in_its_period() -> None:
    """Its day is over: all that was spent on it is read."""
    given = Ledgers()
    given.append(budget(10 * USD, soft_limits_percent=(100,)), 0)
    for at in range(1, 5):
        given.call(at)
    given.adjusted(2 * 86_400, 1, 7 * USD)
    outcome = backtest(given.log, from_us=NOON_US + 86_400 * 10**6)
    assert [(one.percent, one.spent_nano_usd) for one in outcome.alerts.again.values()] == [(100, 10 * USD)]
    assert not outcome.costs


def test_the_installed_price_list_prices_what_the_file_does_not_name() -> None:
    """A model that the list does not know costs what it did."""
    given = Ledgers()
    given.call(1, 1, input_tokens=1_000_000)
    given.call(2, 1, provider="nobody", model="knows", input_tokens=1_000_000)
    outcome = backtest(given.log, TriedPolicy(prices=Prices(from_list=True)))
    assert outcome.costs["acme", "openai", "gpt-4o"].tried_nano_usd > USD
    assert outcome.costs["acme", "nobody", "knows"].tried_nano_usd == 1


def test_calls_that_came_twice_and_bad_records_cost_nothing() -> None:
    """They are counted beside the calls."""
    given = Ledgers()
    given.call(1)
    given.call(1)
    number = partition_of(b"acme", 2)
    given.log.append("usage", number, record_of(b"acme", b"\x00nothing", NOON_US // 1000 + 2_000))
    outcome = backtest(given.log)
    [cost] = outcome.costs.values()
    assert (cost.calls, outcome.counted.duplicates, outcome.counted.refused) == (1, 1, 1)


def test_an_empty_log_tells_nothing() -> None:
    """Nothing is there, and nothing would have been."""
    outcome = backtest(MemoryLog(LogSettings(partitions=2)), TriedPolicy(budgets=(budget(USD),)))
    assert outcome.changes_nothing
    assert outcome.is_reproduced
    assert not outcome.costs
