"""What is to be done for a release, in which order, and what a canary lets pass."""

from __future__ import annotations

from typing import Any

import pytest

from processors.migration.canary import Canary
from processors.migration.errors import CanaryDiffersError
from processors.migration.plan import Found, steps_of
from processors.migration.steps import AFTER, Name, Step, in_order
from projections.made_with import MadeWith, Projection, made_with_release

RELEASE = {projection: MadeWith(2, {"usage_recorded": 3, "routing_decided": 1}) for projection in Projection}
FOLDERS = {
    Projection.LIVE: ["usage_recorded"],
    Projection.HISTORY: ["usage_recorded", "routing_decided"],
    Projection.ANALYTICS: ["routing_decided"],
}
AS_IT_IS = {projection: [made] for projection, made in RELEASE.items()}


def found(**changed: Any) -> Found:
    """Nothing is to be done, but for what is changed."""
    values: dict[str, Any] = {
        "missing_topics": [],
        "unregistered": [],
        "tables": ("0002", "0002"),
        "made": AS_IT_IS,
    }
    return Found(**values | changed)


def planned(there: Found, *wanted: Projection) -> dict[Name, str]:
    """Steps in their order, with the reasons."""
    return {step.name: step.why for step in steps_of(there, RELEASE, FOLDERS, wanted)}


def test_nothing_is_done_when_all_is_as_the_release_makes_it() -> None:
    """No backup either."""
    assert planned(found()) == {}


def test_what_was_made_otherwise_is_built_anew_and_says_why() -> None:
    """By its code or by a schema that it reads; one that it does not read, or that was not there, is no reason."""
    made = {
        Projection.LIVE: [MadeWith(1, {"usage_recorded": 3}), MadeWith(2, {"usage_recorded": 2})],
        Projection.HISTORY: [MadeWith(2, {"usage_recorded": 3, "routing_decided": 1})],
        Projection.ANALYTICS: [MadeWith(2, {"usage_recorded": 1})],
    }
    steps = planned(found(made=made))
    assert steps[Name.LIVE] == "fold 1 -> 2, usage_recorded v2 -> v3"
    assert list(steps) == [Name.BACKUP, Name.VERIFY_BEFORE, Name.LIVE, Name.VERIFY_AFTER]


def test_a_state_without_a_note_is_of_the_first_fold() -> None:
    """Its schemas are not known, and no reason."""
    assert MadeWith.from_text(None) == MadeWith(1, {})
    steps = planned(found(made={Projection.HISTORY: [MadeWith()]}))
    assert steps[Name.HISTORY] == "fold 1 -> 2"


def test_a_note_is_read_as_it_was_written() -> None:
    """Of this release."""
    for projection in Projection:
        made = made_with_release(projection)
        assert MadeWith.from_text(made.to_text()) == made
        assert made.schemas["usage_recorded"] >= 1


def test_topics_schemas_and_tables_come_before_what_is_built_on_them() -> None:
    """What is asked for is built whatever it was made with."""
    there = found(missing_topics=["alerts"], unregistered=["usage"], tables=("0001", "0002"))
    steps = planned(there, Projection.ANALYTICS)
    order = list(steps)
    assert order[0] == Name.BACKUP
    assert set(order[1:4]) == {Name.TOPICS, Name.SCHEMAS, Name.TABLES}
    assert order[4:] == [Name.VERIFY_BEFORE, Name.ANALYTICS, Name.VERIFY_AFTER]
    assert steps[Name.TOPICS] == "missing: alerts"
    assert steps[Name.TABLES] == "revision 0001 -> 0002"
    assert steps[Name.ANALYTICS] == "asked for"


def test_a_new_site_needs_no_backup() -> None:
    """There is nothing to lose."""
    assert list(planned(found(missing_topics=["usage"], tables=(None, "0002"), made={}))) == [
        Name.TOPICS,
        Name.TABLES,
    ]


def test_every_step_has_its_place_after_what_it_needs() -> None:
    """In whatever order they are given."""
    ordered = [step.name for step in in_order([Step(name, "", "") for name in reversed(Name)])]
    assert set(ordered) == set(Name)
    for name, needed in AFTER.items():
        assert all(ordered.index(before) < ordered.index(name) for before in needed)


def test_a_canary_asks_its_share_and_the_same_ones_each_time() -> None:
    """At least one question when there are any."""
    names = [f"breaker {number}" for number in range(100)]
    canary = Canary(0.05, 0, lambda _: None)
    assert len(canary.chosen(names)) == 5
    assert canary.chosen(names) == canary.chosen(names[::-1])
    assert len(canary.chosen(names[:3])) == 1
    assert canary.chosen([]) == []
    assert Canary(0, 0, lambda _: None).chosen(names) == []
    assert len(Canary(1, 0, lambda _: None).chosen(names)) == 100


def test_a_canary_names_what_differs_and_stops_beyond_what_is_tolerated() -> None:
    """An answer that one side does not have is a difference."""
    live, new = {"a": {"spent": 1}, "b": 2, "d": 4}, {"a": {"spent": 3}, "c": 5, "d": 4}
    told: list[str] = []
    tolerant = Canary(1, 3, told.append)
    tolerant.judge(live, new)
    assert (tolerant.asked, len(tolerant.differences)) == (4, 3)
    assert told[0] == "a: spent is 1 live, 3 new"
    with pytest.raises(CanaryDiffersError, match=r"3 of 4 answers differ, 2 may: .* --tolerate 3"):
        Canary(1, 2, told.append).judge(live, new)
