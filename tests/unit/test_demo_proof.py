"""The proof holds when all is equal, and names every inequality when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from demo.history import HistoryState
from demo.ledger import Books, RoutingEntry, UsageEntry
from demo.live import LiveState
from demo.naive import NaiveFold, initial_breaker
from demo.proof import compare, prove

QUARTER = 100


def books() -> Books:
    return Books(
        usage={
            i: UsageEntry(i, "gateway-0", "acme", "openai/gpt-4", "SUCCESS", 50, 3, 2) for i in ("a", "b")
        },
        routing={"r": RoutingEntry("r", "gateway-0", "acme", "openai/gpt-4")},
        acknowledged={"a", "b", "r"},
    )


def naive() -> NaiveFold:
    topics = ("usage", "routing", "outcomes", "breakers", "alerts", "budgets", "dead-letters")
    return NaiveFold(
        records=dict.fromkeys(topics, 0) | {"usage": 3, "routing": 1},
        doubles=dict.fromkeys(topics, 0) | {"usage": 1},
        ids={topic: set() for topic in topics} | {"usage": {"a", "b"}, "routing": {"r"}},
        spend={("acme", "tenant", QUARTER): (100, 2, 6, 4, 0)},
        spend_by_tenant={"acme": 100},
        outcomes={("openai/gpt-4", "SUCCESS"): 2},
        observed={("openai/gpt-4", "SUCCESS"): 2},
        routed={("acme", "openai/gpt-4"): 1},
    )


def live() -> LiveState:
    return LiveState(
        spend={("acme", "tenant", QUARTER): (100, 2, 6, 4, 0)},
        outcomes={("openai/gpt-4", "SUCCESS"): 2},
        breakers={"openai/gpt-4": initial_breaker()},
        routed={("acme", "openai/gpt-4"): 1},
    )


def history() -> HistoryState:
    rows = dict.fromkeys(naive().ids, 0) | {"usage": 2, "routing": 1}
    return HistoryState(rows=rows, calls={"acme": 2}, spend={"acme": 100})


def test_the_proof_holds_when_all_is_equal() -> None:
    """No inequality, nothing lost, nothing doubled, a double on the log counted once."""
    proof = prove(books(), naive(), live(), history())
    assert proof.inequalities == []
    usage, routing = proof.flows
    assert (usage.appended, usage.on_log, usage.repeated, usage.folded) == (2, 3, 1, 2)
    assert (usage.lost, usage.doubled, routing.lost, routing.doubled) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "spend, lost, doubled",
    [
        ({("acme", "tenant", QUARTER): (50, 1, 3, 2, 0)}, 1, 0),
        ({("acme", "tenant", QUARTER): (150, 3, 9, 6, 0)}, 0, 1),
        ({("acme", "tenant", QUARTER): (50, 1, 3, 2, 0), ("x", "tenant", QUARTER): (50, 1, 3, 2, 0)}, 1, 1),
    ],
)
def test_a_lost_and_a_doubled_event_are_told_apart(spend: Any, lost: int, doubled: int) -> None:
    """A loss at one tenant is not made good by a double at another."""
    proof = prove(books(), naive(), replace_spend(spend), history())
    assert (proof.flows[0].lost, proof.flows[0].doubled) == (lost, doubled)
    assert proof.inequalities


def replace_spend(spend: Any) -> LiveState:
    state = live()
    state.spend = spend
    return state


def test_one_nano_usd_is_an_inequality() -> None:
    """Spend has to be equal to the nano-dollar."""
    proof = prove(
        books(), naive(), replace_spend({("acme", "tenant", QUARTER): (101, 2, 6, 4, 0)}), history()
    )
    assert "spend by tenant, ledgers = live: acme: 100 is not 101" in proof.inequalities


def test_an_event_that_nobody_acknowledged_is_an_inequality() -> None:
    """A gateway that does not know what became of an event has not done its work."""
    proof = prove(replace(books(), acknowledged={"a", "r"}), naive(), live(), history())
    assert any(
        line.startswith("every event of the ledgers is acknowledged: b") for line in proof.inequalities
    )


def test_an_acknowledged_event_that_is_not_on_the_log_is_an_inequality() -> None:
    """The acknowledged append is the durability point."""
    fold = naive()
    fold.ids["usage"] = {"a"}
    proof = prove(books(), fold, live(), history())
    assert "usage events, ledgers = log: 1 are not on the log, for example b" in proof.inequalities


def test_an_event_on_the_log_that_no_ledger_knows_is_an_inequality() -> None:
    """Nothing comes from nowhere."""
    fold = naive()
    fold.ids["routing"] = {"r", "ghost"}
    proof = prove(books(), fold, live(), history())
    assert "routing events, ledgers = log: 1 are in no ledger, for example ghost" in proof.inequalities


def test_a_breaker_that_stands_elsewhere_is_an_inequality() -> None:
    """Live and log have to agree on every field of every breaker."""
    state = live()
    state.breakers["openai/gpt-4"] = initial_breaker() | {"state": "OPEN"}
    assert any(
        line.startswith("breakers, log = live")
        for line in prove(books(), naive(), state, history()).inequalities
    )


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"rows": {"usage": 1}}, "history, rows = events on the log: usage: 2 is not 1"),
        ({"calls": {"acme": 3}}, "history, calls by tenant, ledgers = rollups: acme: 2 is not 3"),
        ({"spend": {"acme": 99}}, "history, spend by tenant, ledgers = rollups: acme: 100 is not 99"),
    ],
)
def test_a_history_that_tells_otherwise_is_an_inequality(wrong: dict[str, Any], said: str) -> None:
    """Rows against the log, rollups against the ledgers."""
    merged = {name: {**getattr(history(), name), **values} for name, values in wrong.items()}
    proof = prove(books(), naive(), live(), replace(history(), **merged))
    assert proof.inequalities == [said]


def test_a_dead_letter_is_an_inequality() -> None:
    """The gateways publish nothing bad."""
    fold = naive()
    fold.records["dead-letters"] = 1
    assert prove(books(), fold, live(), history()).inequalities == ["dead letters: records: 0 is not 1"]


def test_many_differences_are_counted_and_a_few_shown() -> None:
    """The list stays readable."""
    check = compare("x", dict.fromkeys(range(9), 1), {})
    assert len(check.differences) == 6
    assert check.differences[-1] == "and 4 more"
