"""Whatever the policies and the stores, a plan takes nothing that is still needed."""

from __future__ import annotations

from itertools import pairwise

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from events.positions import Partition
from projections.retention.amounts import DAY_US
from projections.retention.glob import matches
from projections.retention.holdings import Consumer, SumsMonth
from projections.retention.policy import Policies, Store
from projections.retention.policy_file import parse_policies
from projections.retention.selection import Span
from projections.retention.steps import CutLog, DeleteRows, DeleteSegment, DropMonth, DropSums
from tests.property.retention.world import MONTH_US, Row, World, segment

NOW_US = 12 * MONTH_US
PLACES = (Partition("usage", 0), Partition("usage", 1))
TENANTS = ("acme", "bank-1", "bank-2", "")
CONDITIONS = ("attempt = 1", "attempt in (2, 3) or cost_nano_usd is null", "not cost_nano_usd < 3")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Two partitions, some months, segments with and without gaps, three projections that are somewhere."""
    rows: list[Row] = []
    segments = []
    missing = draw(st.sampled_from((0, 1, 8)))
    log = {}
    times = {}
    for place in PLACES:
        count = draw(st.integers(1, 12))
        appended = sorted(draw(st.lists(st.integers(0, NOW_US), min_size=count, max_size=count)))
        times[place] = tuple(appended)
        log[place] = Span(draw(st.integers(0, count - 1)), count)
        for offset, time_us in enumerate(appended):
            late_us = draw(st.sampled_from((0, 0, DAY_US, MONTH_US)))
            row: Row = {
                "log_partition": place.number,
                "log_offset": offset,
                "occurred_at": max(0, time_us - late_us),
                "tenant": draw(st.sampled_from(TENANTS)),
                "attempt": draw(st.integers(1, 3)),
                "cost_nano_usd": draw(st.none() | st.integers(0, 5)),
            }
            if draw(st.integers(0, 9)) >= missing:
                rows.append(row)
        cuts = sorted({0, *draw(st.lists(st.integers(0, count), max_size=4))})
        segments += [
            segment(place, start, end, appended[end - 1], draw(st.sampled_from((0, 0, 0, end - start - 1))))
            for start, end in pairwise(cuts)
            if draw(st.integers(0, 7))
        ]
    consumers = tuple(
        Consumer(name, frozenset({"usage"}), {place: draw(st.integers(0, 12)) for place in PLACES})
        for name in ("live", "history")
    )
    sums = tuple(
        SumsMonth(f"usage_by_day_{number}", (number + 1) * MONTH_US, 1, 10)
        for number in sorted(draw(st.sets(st.integers(0, 11), max_size=4)))
    )
    hints = {PLACES[0]: draw(st.integers(0, 12))}
    return World(
        tuple(rows),
        tuple(segments),
        log,
        times,
        consumers,
        sums,
        hints,
        log_is_cut=draw(st.integers(0, 4)) > 0,
    )


def _limits(precise: bool) -> st.SearchStrategy[dict[str, object]]:
    limits: list[dict[str, object]] = [{"older_than": age} for age in ("30d", "60d", "200d")]
    limits += [{"more_than": count} for count in range(0, 12, 2)]
    if not precise:
        limits += [{"larger_than": size} for size in ("1B", "300B", "900B")]
    return st.sampled_from(limits)


@st.composite
def _history(draw: st.DrawFn) -> dict[str, object]:
    precise = draw(st.booleans())
    found: dict[str, object] = {"store": "history", **draw(_limits(precise))}
    if precise:
        found |= {"precision": "row", "tenants": draw(st.sampled_from((["*"], ["bank-*"], ["acme", "?"])))}
        found |= draw(st.sampled_from(({}, {"except_tenants": ["bank-1"]})))
        if draw(st.booleans()):
            found["where"] = draw(st.sampled_from(CONDITIONS))
    actions = ("delete", "export", "archive", "aggregate_then_delete") + (() if precise else ("compress",))
    return found | {"topics": ["usage"], "action": draw(st.sampled_from(actions))}


_LOG = _limits(precise=True).map(
    lambda limit: {"store": "log", "action": "delete", "topics": ["usage"], **limit}
)
_ARCHIVE = st.builds(
    lambda limit, action: {"store": "archive", "action": action, "topics": ["usage"], **limit},
    _limits(precise=False),
    st.sampled_from(("delete", "delete", "compress")),
)
_SUMS: dict[str, object] = {"store": "rollups", "action": "delete", "older_than": "90d"}
_ROLLUPS = st.just(_SUMS)


@st.composite
def some_policies(draw: st.DrawFn) -> Policies:
    """Up to four of any store, and perhaps a hold."""
    chosen = draw(st.lists(_history() | _LOG | _ARCHIVE | _ROLLUPS, min_size=1, max_size=4))
    holds = draw(st.sampled_from(([], [], [{"topics": ["us*"], "tenants": ["bank-2"], "reason": "case 17"}])))
    named = [{"name": f"p{number}", **one} for number, one in enumerate(chosen)]
    return parse_policies(yaml.safe_dump({"version": 1, "holds": holds, "policies": named}), "drawn")


def _is_safe(world: World, place: Partition, offset: int) -> bool:
    """Said apart from the code: a segment has it, and every projection has passed it."""
    archived = any(
        one.place == place and one.span.end - one.records <= offset < one.span.end for one in world.segments
    )
    return archived and all(consumer.positions[place] > offset for consumer in world.consumers)


@settings(max_examples=200, deadline=None)
@given(world=worlds(), policies=some_policies())
def test_nothing_goes_that_is_not_consumed_and_archived(world: World, policies: Policies) -> None:
    """Step by step: rows, offsets of the log and segments that go were passed by all, and held by the archive."""
    for step in world.plan(policies, NOW_US).steps:
        after = world.after(step)
        for row in set(map(str, world.rows)) - set(map(str, after.rows)):
            found = next(one for one in world.rows if str(one) == row)
            assert _is_safe(world, PLACES[int(str(found["log_partition"]))], int(str(found["log_offset"])))
        if isinstance(step, CutLog):
            held = world.log[step.place]
            assert all(_is_safe(world, step.place, offset) for offset in range(held.start, step.before))
            assert step.before <= world.hints.get(step.place, step.before)
        if isinstance(step, DeleteSegment):
            last = step.span.end - 1
            assert all(consumer.positions[step.place] > last for consumer in world.consumers)
            assert not any(
                step.span.start <= int(str(row["log_offset"])) <= last
                for row in world.rows
                if row["log_partition"] == step.place.number
            )
            assert any(one.place == step.place for one in after.segments)
            assert world.log_is_cut
        if isinstance(step, DropSums):
            [gone] = set(world.sums) - set(after.sums)
            assert all(int(str(row["occurred_at"])) >= gone.end_us for row in world.rows)
        world = after


@settings(max_examples=80, deadline=None)
@given(world=worlds(), policies=some_policies())
def test_a_plan_says_how_much_and_leaves_nothing_to_do(world: World, policies: Policies) -> None:
    """A whole month takes all its rows; other steps take what they say. Of what stays, nothing goes in a second plan."""
    first = world.plan(policies, NOW_US)
    for step in first.steps:
        before = len(world.rows)
        world = world.after(step)
        if isinstance(step, DropMonth):
            assert not any(month.table == step.table for month in world.holdings().months)
        if isinstance(step, (DropMonth, DeleteRows)):
            assert before - len(world.rows) <= step.rows
    policies_of = {policy.name: policy for policy in policies.policies}
    for step in world.plan(policies, NOW_US).steps:
        # What bounded sums and segments was gone only once the first plan was carried out; counts go on from there.
        policy = policies_of[step.policy]
        assert policy.store in (Store.ROLLUPS, Store.ARCHIVE) or policy.older_than is None, step


@settings(max_examples=80, deadline=None)
@given(world=worlds(), policies=some_policies())
def test_what_is_on_hold_stays(world: World, policies: Policies) -> None:
    """No row of a tenant that a hold names goes, and no segment that could have one."""
    held = policies.held_tenants("usage")
    before = [row for row in world.rows if matches(held, str(row["tenant"]))]
    for step in world.plan(policies, NOW_US).steps:
        assert not (held and isinstance(step, DeleteSegment))
        world = world.after(step)
    assert [row for row in world.rows if matches(held, str(row["tenant"]))] == before


@settings(max_examples=80, deadline=None)
@given(world=worlds(), policies=some_policies())
def test_the_same_stores_give_the_same_plan(world: World, policies: Policies) -> None:
    """Steps have the same ids whoever plans, and no two are the same."""
    first = world.plan(policies, NOW_US)
    assert first == world.plan(policies, NOW_US)
    ids = [step.step_id for step in first.steps]
    assert len(set(ids)) == len(ids)
