"""Spend: nodes, their names, and the sums of a node's day."""

from __future__ import annotations

import orjson
import pytest

from events.budget_changed import BudgetLevel
from projections.live.node import Identity, Node, nodes_of
from projections.live.spend import (
    NOTHING,
    Group,
    SpendDay,
    Spent,
    charge,
    days_in,
    parse_spend_id,
    spend_id,
    spent_in,
    touched,
    used_quarters,
)

ANN = Identity("acme", "eng", "search", "ann", "k1", "openai", "gpt-4o")


def test_a_call_is_charged_to_every_level_alone_and_narrowed() -> None:
    """Five levels, each also with the provider and with its model."""
    assert nodes_of(ANN)[:6] == (
        "tenant",
        "tenant;provider=openai",
        "tenant;provider=openai;model=gpt-4o",
        "org=eng",
        "org=eng;provider=openai",
        "org=eng;provider=openai;model=gpt-4o",
    )
    assert len(nodes_of(ANN)) == 15


@pytest.mark.parametrize("nobody", [None, ""])
def test_levels_that_a_call_does_not_name_are_not_charged(nobody: str | None) -> None:
    """An empty name is no name."""
    assert len(nodes_of(Identity("acme", nobody, nobody, nobody, nobody, "openai", "gpt-4o"))) == 3


@pytest.mark.parametrize("name", ["a;b", "a=b", "a|b", "100%", "%3B", "a/b@c", "ü\u2028"])
def test_separators_within_names_are_told_from_separators(name: str) -> None:
    """A node and an id can always be taken apart again."""
    node = Node(BudgetLevel.TEAM, name, name, name)
    assert Node.parse(str(node)) == node
    assert parse_spend_id(spend_id(name, str(node), 19_000)) == (name, str(node), 19_000)


@pytest.mark.parametrize(
    "name", ["", "tenant=x", "team", "team=", "galaxy=x", "tenant;model=m", "tenant;provider=p;model="]
)
def test_what_is_no_node_is_refused(name: str) -> None:
    """With the name in the message."""
    with pytest.raises(ValueError, match="no spend node is named"):
        Node.parse(name)


def test_one_group_is_charged_once_to_each_node_of_its_day() -> None:
    """A quarter hour since the epoch is a day and a quarter hour of it."""
    charges = charge({(ANN, 19_000 * 96 + 5): (100, 2, 30, 40, 1)})
    assert len(charges) == 15
    assert charges["acme|team=search|19000"] == {5: [100, 2, 30, 40, 1]}


def test_groups_that_share_a_node_are_summed_there() -> None:
    """Two teams, one tenant."""
    first: Group = (Identity("acme", None, "search", None, None, "openai", "gpt-4o"), 96)
    second: Group = (Identity("acme", None, "ads", None, None, "openai", "gpt-4o"), 97)
    charges = charge({first: (1, 1, 1, 1, 0), second: (2, 1, 1, 1, 0)})
    assert charges["acme|tenant|1"] == {0: [1, 1, 1, 1, 0], 1: [2, 1, 1, 1, 0]}
    assert charges["acme|team=ads|1"] == {1: [2, 1, 1, 1, 0]}


def test_charging_leaves_the_batch_sums_as_they_were() -> None:
    """The caller's lists are not the state's."""
    sums = [1, 1, 1, 1, 0]
    charge({(ANN, 96): sums, (ANN._replace(team="ads"), 96): sums})
    assert sums == [1, 1, 1, 1, 0]


def test_touched_tells_the_charged_quarter_hours_of_nodes_asked_for() -> None:
    """Nodes without charges, and other tenants, are left out."""
    groups: dict[Group, tuple[int, ...]] = {(ANN, 96 * 3 - 1): (1,) * 5, (ANN, 96 * 3): (1,) * 5}
    days = days_in(groups)
    assert days == {2, 3}
    assert touched(charge(groups), "acme", ["team=search", "team=ads"], days) == {"team=search": {287, 288}}
    assert touched(charge(groups), "other", ["team=search"], days) == {}


def test_a_day_keeps_its_quarter_hours_in_order_and_a_total() -> None:
    """Late usage finds its place."""
    day = SpendDay(7).plus({5: (10, 1, 2, 3, 0)}).plus({2: (1, 1, 1, 1, 1)}).plus({5: (5, 1, 0, 0, 0)})
    assert day.rows == ((2, 1, 1, 1, 1, 1), (5, 15, 2, 2, 3, 0))
    assert day.total == Spent(16, 3, 3, 4, 1)


def test_a_day_is_the_same_after_a_round_trip() -> None:
    """Also when its sums outgrew 64 bits, as sums of legal events may."""
    day = SpendDay(7).plus({5: (2**63 - 1, 1, 2**63 - 1, 3, 0)}).plus({5: (2**63 - 1, 1, 1, 0, 0)})
    assert day.total.cost_nano_usd == 2**64 - 2
    assert SpendDay.from_json(day.to_json()) == day
    beyond = day.plus({5: (2, 1, 0, 0, 0)})
    assert orjson.loads(beyond.to_json())["rows"] == [[5, str(2**64), 3, 2**63, 3, 0]]
    assert SpendDay.from_json(beyond.to_json()) == beyond
    assert SpendDay.from_json(SpendDay(7).to_json()) == SpendDay(7)


def test_sums_over_quarter_hours_cross_days() -> None:
    """Whole days by their total, the first and the last by their quarter hours."""
    days = {number: SpendDay(number).plus(dict.fromkeys(range(96), (1, 1, 0, 0, 0))) for number in range(3)}

    def spend_of(_node: str, day: int) -> SpendDay | None:
        return days.get(day)

    assert spent_in(spend_of, "tenant", range(90, 200)).calls == 110
    assert spent_in(spend_of, "tenant", range(280, 400)).calls == 8
    assert spent_in(spend_of, "tenant", range(400, 500)) == NOTHING
    assert list(used_quarters(spend_of, "tenant", range(94, 98))) == [(94, 1), (95, 1), (96, 1), (97, 1)]
