"""Spend: the order and batching of usage never show, and sums are the naive sums."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import orjson
from hypothesis import given
from hypothesis import strategies as st

from events.envelope import MAX_LONG, OutcomeKind
from events.usage_recorded import UsageRecorded
from processors.verify.naive.spend import nodes
from projections.live.node import Identity, Node, escape, nodes_of, unescape
from projections.live.spend import (
    Group,
    SpendDay,
    charge,
    parse_spend_id,
    quarter_of,
    spent_in,
)
from tests.reference.documents import spend_documents
from tests.reference.spend import spent_between

START_US = 1_709_251_200_000_000  # 2024-03-01T00:00Z
NAMES = st.sampled_from(["a", "b;c", "d=e", "f|g", "50%", ""])
AMOUNTS = st.one_of(st.integers(0, 10**12), st.sampled_from([0, 1, MAX_LONG]))


def usage_events(most: int = 40) -> st.SearchStrategy[list[UsageRecorded]]:
    return st.lists(
        st.builds(
            UsageRecorded,
            event_id=st.just("018bcfe5-687b-7abc-8def-0123456789ab"),
            occurred_at=st.integers(0, 3 * 86_400_000_000 - 1).map(lambda us: START_US + us),
            source=st.just("test"),
            tenant=st.sampled_from(["acme", "b|b"]),
            request_id=st.just("r"),
            provider=st.sampled_from(["openai", "p;q"]),
            model=st.sampled_from(["gpt-4o", "m=n"]),
            org=st.one_of(st.none(), NAMES),
            team=st.one_of(st.none(), NAMES),
            user=st.one_of(st.none(), NAMES),
            api_key=st.one_of(st.none(), NAMES),
            outcome=st.just(OutcomeKind.SUCCESS),
            input_tokens=AMOUNTS,
            output_tokens=AMOUNTS,
            cost_nano_usd=st.one_of(st.none(), AMOUNTS, AMOUNTS.map(lambda amount: -amount)),
        ),
        max_size=most,
    )


def grouped(events: Sequence[UsageRecorded]) -> dict[Group, list[int]]:
    """The sums that the hot loop hands over."""
    groups: dict[Group, list[int]] = {}
    for event in events:
        identity = Identity(
            event.tenant,
            event.org,
            event.team,
            event.user,
            event.api_key,
            event.provider,
            event.model,
        )
        sums = groups.setdefault((identity, quarter_of(event.occurred_at)), [0, 0, 0, 0, 0])
        cost = event.cost_nano_usd
        for index, value in enumerate(
            (cost or 0, 1, event.input_tokens, event.output_tokens, int(cost is None))
        ):
            sums[index] += value
    return groups


def folded(batches: Sequence[Sequence[UsageRecorded]]) -> dict[str, SpendDay]:
    states: dict[str, SpendDay] = {}
    for batch in batches:
        for spend, charges in charge(grouped(batch)).items():
            states[spend] = states.get(spend, SpendDay(parse_spend_id(spend)[2])).plus(charges)
    return states


def in_batches(events: Sequence[UsageRecorded], chance: Random) -> list[list[UsageRecorded]]:
    """The events shuffled and cut anywhere."""
    shuffled = list(events)
    chance.shuffle(shuffled)
    batches: list[list[UsageRecorded]] = [[]]
    for event in shuffled:
        if chance.random() < 0.3:
            batches.append([])
        batches[-1].append(event)
    return batches


@given(usage_events(), st.randoms(use_true_random=False))
def test_any_order_and_batching_gives_the_same_bytes(events: list[UsageRecorded], chance: Random) -> None:
    """States are sums: nothing of the way they came together is left in them."""
    one_batch = {spend: day.to_json() for spend, day in folded([events]).items()}
    batches = in_batches(events, chance)
    assert {spend: day.to_json() for spend, day in folded(batches).items()} == one_batch


@given(usage_events())
def test_states_equal_the_naive_fold(events: list[UsageRecorded]) -> None:
    """The reference adds up event by event, in other words."""
    documents = {spend: orjson.loads(day.to_json()) for spend, day in folded([events]).items()}
    assert documents == spend_documents(events)


@given(usage_events(), st.randoms(use_true_random=False))
def test_a_state_written_and_read_goes_on_as_before(events: list[UsageRecorded], chance: Random) -> None:
    """A worker that takes over continues from the bytes."""
    cut = chance.randint(0, len(events))
    resumed = {spend: SpendDay.from_json(day.to_json()) for spend, day in folded([events[:cut]]).items()}
    for spend, charges in charge(grouped(events[cut:])).items():
        resumed[spend] = resumed.get(spend, SpendDay(parse_spend_id(spend)[2])).plus(charges)
    assert resumed == folded([events])


@given(usage_events(), st.integers(-4, 300), st.integers(0, 300))
def test_the_sum_of_a_period_is_the_naive_sum(events: list[UsageRecorded], first: int, length: int) -> None:
    """Over any range of quarter hours, for every node of the tenant."""
    states = folded([events])
    start = quarter_of(START_US) + first
    for node in {node for event in events if event.tenant == "acme" for node in nodes(event)}:
        spent = spent_in(
            lambda name, day: states.get(f"acme|{name}|{day}"), node, range(start, start + length)
        )
        acme = [event for event in events if event.tenant == "acme"]
        assert tuple(spent) == spent_between(acme, node, start * 900_000_000, (start + length) * 900_000_000)


@given(usage_events(most=1))
def test_nodes_are_those_of_the_naive_fold_and_can_be_taken_apart(events: list[UsageRecorded]) -> None:
    """By name, whatever the names hold."""
    for event in events:
        identity = Identity(
            event.tenant, event.org, event.team, event.user, event.api_key, event.provider, event.model
        )
        assert list(nodes_of(identity)) == nodes(event)
        assert [str(Node.parse(name)) for name in nodes_of(identity)] == nodes(event)


@given(st.text())
def test_escaping_is_undone_exactly(name: str) -> None:
    """And leaves no separator."""
    assert unescape(escape(name)) == name
    assert not set(";=|") & set(escape(name))
