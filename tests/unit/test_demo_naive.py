"""The naive fold: the other side of the demo's equation."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import demo.naive
import demo.naive_log
from demo.naive import DAY_US, QUARTER_HOUR_US, Alert, breaker_after, flaws, fold, nodes_of
from demo.naive_log import Kept
from projections.live.node import Identity
from projections.live.node import nodes_of as nodes_of_the_product

EMPTY: dict[str, list[Kept]] = {
    topic: [] for topic in ("usage", "routing", "outcomes", "breakers", "alerts", "budgets", "dead-letters")
}


def usage(event_id: str, offset: int = 0, **changed: Any) -> Kept:
    value = {
        "event_id": event_id,
        "occurred_at": DAY_US * 19669 + 3 * QUARTER_HOUR_US,
        "tenant": "acme",
        "org": None,
        "team": "search",
        "user": None,
        "api_key": None,
        "provider": "openai",
        "model": "gpt-4",
        "region": None,
        "outcome": "SUCCESS",
        "cost_nano_usd": 50,
        "input_tokens": 3,
        "output_tokens": 2,
    }
    return Kept(0, offset, {}, value | changed)


def transition(version: int, from_state: str, to_state: str, **changed: Any) -> dict[str, Any]:
    value = {
        "event_id": f"t{version}",
        "occurred_at": version * 1000,
        "provider": "openai",
        "model": "gpt-4",
        "region": None,
        "version": version,
        "from_state": from_state,
        "to_state": to_state,
        "cause": "FAILURE_RATE",
        "reason": "",
        "epoch": version,
        "trips": 1,
        "open_until": 99 if to_state == "OPEN" else None,
        "calls": 10,
        "failures": 6,
        "slow_calls": 0,
        "consecutive_failures": 0,
        "policy_version": 1,
    }
    return value | changed


@pytest.mark.parametrize("module", [demo.naive, demo.naive_log])
def test_the_naive_fold_shares_no_code_with_the_product(module: Any) -> None:
    """It imports nothing of events, projections, processors or api: it may not share their mistakes."""
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"events", "projections", "processors", "api", "embedded"}
    assert {name for name in imported if name.startswith("demo")} <= {"demo.naive_log"}


def test_an_event_is_counted_once_however_often_it_is_on_the_log() -> None:
    """Records with an id that was there before are doubles."""
    naive = fold(EMPTY | {"usage": [usage("a", 0), usage("a", 1), usage("b", 2)]})
    assert naive.records["usage"] == 3
    assert naive.doubles["usage"] == 1
    assert naive.spend_by_tenant == {"acme": 100}
    assert naive.outcomes == {("openai/gpt-4", "SUCCESS"): 2}


def test_a_call_is_charged_to_every_node_that_covers_it() -> None:
    """Tenant and team, whole and by provider and model, in the quarter hour of the call."""
    naive = fold(EMPTY | {"usage": [usage("a")]})
    quarter = 19669 * 96 + 3
    assert naive.spend["acme", "team=search;provider=openai", quarter] == (50, 1, 3, 2, 0)
    assert len(naive.spend) == 6


def test_a_call_without_a_price_costs_nothing_and_is_counted() -> None:
    """The fifth sum counts the unpriced."""
    naive = fold(EMPTY | {"usage": [usage("a", cost_nano_usd=None)]})
    assert naive.spend["acme", "tenant", 19669 * 96 + 3] == (0, 1, 3, 2, 1)


def test_nodes_are_named_as_the_product_names_them() -> None:
    """Both sides have to name the same things, separators within names included."""
    call = usage("a", org="a;b", team="x=y", user="50%", api_key="k|1", model="m;1").value
    identity = Identity("acme", "a;b", "x=y", "50%", "k|1", "openai", "m;1")
    assert sorted(nodes_of(call)) == sorted(nodes_of_the_product(identity))


def test_an_alert_is_due_once_for_each_threshold_and_day() -> None:
    """Spend at or over the share of the limit makes it due; other days and tenants do not."""
    budget = {
        "event_id": "b",
        "tenant": "acme",
        "budget_id": "daily",
        "level": "TENANT",
        "subject": None,
        "provider": None,
        "model": None,
        "soft_limits_percent": [50, 80, 100],
        "limit_nano_usd": 100,
    }
    log = EMPTY | {
        "budgets": [Kept(0, 0, {}, budget)],
        "usage": [
            usage("a"),
            usage("b", cost_nano_usd=30),
            usage("c", cost_nano_usd=500, tenant="other"),
            usage("d", cost_nano_usd=10, occurred_at=DAY_US * 19670),
        ],
    }
    assert fold(log).due_alerts == {
        Alert("acme", "daily", 50, 19669): 1,
        Alert("acme", "daily", 80, 19669): 1,
    }


def test_a_breaker_is_where_its_last_transition_left_it() -> None:
    """The fields of the last event by version, whichever came last."""
    opened, half_open = transition(1, "CLOSED", "OPEN"), transition(2, "OPEN", "HALF_OPEN")
    found = breaker_after([half_open, opened])
    assert (found["version"], found["state"], found["since_us"]) == (2, "HALF_OPEN", 2000)
    assert found["open_until_us"] is None
    assert breaker_after([opened])["open_until_us"] == 99


def test_a_breaker_that_never_moved_is_closed() -> None:
    """Version 0."""
    assert breaker_after([])["state"] == "CLOSED"


def test_gaps_and_jumps_of_a_timeline_are_flaws() -> None:
    """Versions follow each other, and a state begins where the one before ended."""
    assert not flaws([transition(1, "CLOSED", "OPEN"), transition(2, "OPEN", "HALF_OPEN")])
    assert flaws([transition(2, "CLOSED", "OPEN")]) == ["version 2 follows version 0"]
    assert flaws([transition(1, "OPEN", "HALF_OPEN")]) == ["version 1 comes from OPEN, it was CLOSED"]
