"""Backtests over what the production workers leave on the log: seeds, each another world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import orjson
import pytest

from api.backtest.document import document
from api.backtest.page import page
from events.breaker_transitioned import BreakerTransitioned
from events.catalogue import TOPICS
from events.pricing import Rates
from events.provider_changed import BreakerPolicy
from processors.backtest.outcome import Outcome
from processors.backtest.policy import TriedPolicy
from processors.backtest.prices import Prices
from projections.live.provider import PolicyInForce, ProviderSettings
from tests.backtest_source import backtest, history
from tests.simulation.chaos import Faults
from tests.simulation.log import MemoryLog
from tests.simulation.plan import DEPLOYMENTS
from tests.simulation.scenario import shipped_codec
from tests.simulation.virtual_time import START_US

SEEDS = (5, 7, 9, 14, 27, 33, 40, 44)
AMID_USAGE = ("changing-", "closing")
"""Budgets that the world sets while it uses them, by the beginning of their ids."""

STRICT = TriedPolicy(
    {
        provider: ProviderSettings(
            provider=provider, version=1, breaker_policy=BreakerPolicy(consecutive_failures=2, open_for_s=5)
        )
        for provider, _, _ in DEPLOYMENTS
    }
)
NEVER = BreakerPolicy(
    consecutive_failures=2**31 - 1, failure_rate=1.0, minimum_calls=2**31 - 1, slow_rate=1.0
)


class TellsTheSame(TriedPolicy):
    """Decides as the recorded settings do, but is not equal to them: so nothing is taken over from the record."""

    def breaker_policy(self, provider: str, deployment: str, recorded: PolicyInForce) -> PolicyInForce:
        """The same but for what decides nothing."""
        del provider, deployment
        return PolicyInForce(replace(recorded.policy, gate_cap_s=recorded.policy.gate_cap_s + 1), 1)


@cache
def log_of(seed: int) -> MemoryLog:
    """The seed's log; nobody changes it."""
    return history(seed)


def transitions(log: MemoryLog) -> set[tuple[str, int]]:
    """What breakers have done, by deployment and version."""
    found = set()
    for record in log.records("breakers"):
        event = shipped_codec().decode(TOPICS["breakers"], record.value)
        assert isinstance(event, BreakerTransitioned)
        found.add((event.deployment, event.version))
    return found


def differences(outcome: Outcome) -> tuple[int, int]:
    """Transitions added and removed."""
    runs = outcome.deployments.values()
    return sum(run.added.count for run in runs), sum(run.removed.count for run in runs)


def is_reproduced(outcome: Outcome) -> bool:
    """Whether all is, but for alerts of a budget that was changed amid its usage.

    Both lie in partitions of their own, and which of the two a worker folds first is not on the log.
    """
    transitions = (run.not_reproduced.count for run in outcome.deployments.values())
    alerts = outcome.not_reproduced_alerts
    return not any(transitions) and all(one.budget_id.startswith(AMID_USAGE) for one in alerts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_recorded_settings_lead_to_exactly_what_is_on_the_log(seed: int) -> None:
    """Decided again, each transition is equal in every field, each alert of a steady budget is there, and nothing is beside them."""
    outcome = backtest(log_of(seed))
    assert is_reproduced(outcome)
    assert outcome.changes_nothing
    assert sum(run.same for run in outcome.deployments.values()) == len(transitions(log_of(seed)))
    found, expected = (
        {key for key, one in held.items() if not one.budget_id.startswith(AMID_USAGE)}
        for held in (outcome.alerts.on_log, outcome.alerts.again)
    )
    assert found == expected
    assert outcome.alerts.on_log


@pytest.mark.parametrize("seed", [7, 11, 35])
def test_alerts_that_adjustments_have_raised_are_raised_again(seed: int) -> None:
    """With the recorded settings all of them, also from some time on; it takes the adjustments to do it."""
    log = history(seed, adjusted=0.3)
    outcome = backtest(log)
    assert is_reproduced(outcome)
    assert outcome.changes_nothing
    middle_us = START_US + (outcome.ends_us - START_US) // 2
    assert is_reproduced(backtest(log, from_us=middle_us))
    log.partitions["adjustments"] = [[] for _ in log.partitions["adjustments"]]
    assert not is_reproduced(backtest(log))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_policy_that_says_the_same_adds_and_removes_nothing(seed: int) -> None:
    """Although it is decided call by call, beside the record: overrides and waits meet it where they met the recorded one."""
    outcome = backtest(log_of(seed), TellsTheSame())
    assert differences(outcome) == (0, 0)
    assert all(recorded == tried for run in outcome.deployments.values() for recorded, tried in run.calls)
    assert all(one.recorded == one.tried for one in outcome.downtimes)


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_workers_that_are_killed_flushed_and_moved_leave_what_is_decided_again(seed: int) -> None:
    """Transitions are exact under faults too, decided beside the record or following it."""
    log = history(seed, Faults(kill=0.004, cut_off=0.02, written_twice=0.1, rebalance_s=30.0, flush_s=60.0))
    outcome = backtest(log, TellsTheSame())
    assert differences(outcome) == (0, 0)
    assert sum(run.same for run in outcome.deployments.values()) == len(transitions(log))
    assert not [event for run in outcome.deployments.values() for event in run.not_reproduced.kept]


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_the_same_log_and_policy_give_the_same_bytes(seed: int) -> None:
    """However the records are fetched."""
    prices = Prices({("openai", "gpt-4o"): Rates(2, 1, 8, 0, 3)})
    tried = replace(STRICT, prices=prices)
    outcomes = [backtest(log_of(seed), tried, fetch=fetch) for fetch in (1, 7, 1000)]
    assert len({orjson.dumps(document(one)) for one in outcomes}) == 1
    assert len({page(one, "new.yaml") for one in outcomes}) == 1


def test_other_settings_are_seen_to_decide_otherwise() -> None:
    """A strict policy opens breakers, one that never trips opens none; both tell what the calls would have met."""
    opened = spared = 0
    for seed in SEEDS[:6]:
        outcome = backtest(log_of(seed), STRICT)
        opened += differences(outcome)[0]
        spared += sum(
            counts.failed
            for run in outcome.deployments.values()
            for (recorded, tried), counts in run.calls.items()
            if tried > recorded
        )
    assert opened > 10
    assert spared > 0
    lax = {
        name: ProviderSettings(provider=name, version=1, breaker_policy=NEVER) for name, _, _ in DEPLOYMENTS
    }
    for seed in SEEDS[:6]:
        outcome = backtest(log_of(seed), TriedPolicy(lax))
        for run in outcome.deployments.values():
            assert not [event for event in run.added.kept if event.to_state == "OPEN"]


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_before_the_time_that_is_asked_about_all_is_as_recorded(seed: int) -> None:
    """A policy that holds from the middle changes nothing before it, and is nevertheless seen to follow from the record."""
    log = log_of(seed)
    end_us = max(record.timestamp for record in log.records("usage")) * 1000
    middle_us = (START_US + end_us) // 2
    outcome = backtest(log, STRICT, from_us=middle_us)
    assert is_reproduced(outcome)
    told = [event for run in outcome.deployments.values() for event in [*run.added.kept, *run.removed.kept]]
    assert all(event.occurred_at >= middle_us for event in told)
    assert sum(run.same for run in outcome.deployments.values()) < len(transitions(log))


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_two_halves_make_up_the_whole(seed: int) -> None:
    """Each transition and each call is in one half."""
    log = log_of(seed)
    end_us = max(record.timestamp for record in log.records("usage")) * 1000 + 1
    middle_us = (START_US + end_us) // 2
    halves = [
        backtest(log, to_us=middle_us),
        backtest(log, from_us=middle_us),
    ]
    whole = backtest(log)
    assert all(map(is_reproduced, halves))
    same = [sum(run.same for run in half.deployments.values()) for half in halves]
    assert sum(same) == len(transitions(log))
    for (tenant, provider, model), cost in whole.costs.items():
        parts = [
            one.costs[tenant, provider, model] for one in halves if (tenant, provider, model) in one.costs
        ]
        assert sum(part.calls for part in parts) == cost.calls
        assert sum(part.recorded_nano_usd for part in parts) == cost.recorded_nano_usd
