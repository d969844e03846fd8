"""Repricing: whatever was adjusted before, in whole or in part, each call comes to count for what the prices say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli.app import app
from events.bounds import Bounds
from events.envelope import Event, OutcomeKind
from events.errors import InvalidEventError
from events.pricing import Rates
from events.settings import LogSettings
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from processors.backtest.prices import Prices
from processors.reprice.repricing import Call, Repricing
from processors.reprice.scope import Scope
from processors.verify.naive.spend import Charged
from projections.live.node import Identity
from projections.live.spend import (
    Group,
    SpendDay,
    charge,
    parse_spend_id,
    post_adjustment,
    quarter_of,
)
from tests.integration.history.place import records
from tests.integration.traffic import usage as a_call
from tests.reference.documents import spend_documents
from tests.simulation.scenario import shipped_codec

START_US = 1_709_251_200_000_000
CODEC = shipped_codec()
BOUNDS = Bounds(LogSettings(partitions=1), 0)
MODELS = (("openai", "gpt-4o"), ("mistral", "large"))
PRICES = st.dictionaries(
    st.sampled_from(MODELS), st.builds(Rates, *[st.integers(0, 9)] * 4, st.just(2)), max_size=2
).map(Prices)


@st.composite
def calls(draw: st.DrawFn) -> list[UsageRecorded]:
    """A few, each with an id of its own."""
    costs = draw(st.lists(st.none() | st.integers(-3, 20), min_size=1, max_size=12))
    return [
        UsageRecorded(
            event_id=f"018bcfe5-687b-7abc-8def-{number:012}",
            occurred_at=START_US + number * 400_000_000,
            source="test",
            tenant="acme",
            request_id="r",
            provider=(model := draw(st.sampled_from(MODELS)))[0],
            model=model[1],
            team=draw(st.sampled_from([None, "a", "b"])),
            outcome=OutcomeKind.SUCCESS,
            input_tokens=draw(st.integers(0, 3)),
            output_tokens=draw(st.integers(0, 3)),
            cost_nano_usd=cost,
        )
        for number, cost in enumerate(costs)
    ]


def looked_at(usage: Sequence[Event], adjustments: Sequence[Event], prices: Prices) -> list[Call]:
    """All calls as a repricing finds them."""
    repricing = Repricing(CODEC, BOUNDS, prices, Scope())
    repricing.adjusted(records(adjustments))
    return list(repricing.calls(records(usage)))


def adjusted(found: Iterable[Call]) -> list[SpendAdjusted]:
    """What would be appended."""
    return [call.adjustment(START_US + 86_400_000_000, "ann", "") for call in found if call.is_adjusted]


@given(calls(), st.lists(st.tuples(PRICES, st.randoms(use_true_random=False)), max_size=3), PRICES)
def test_what_is_missing_is_appended_and_then_nothing(
    usage: list[UsageRecorded], before: list[tuple[Prices, object]], prices: Prices
) -> None:
    """After earlier prices, each of which was interrupted somewhere, and one adjustment was appended twice."""
    log: list[SpendAdjusted] = []
    for earlier, chance in before:
        wanted = adjusted(looked_at(usage, log, earlier))
        log += wanted[: chance.randint(0, len(wanted))]  # type: ignore[attr-defined]
        log += log[-1:]
    found = looked_at(usage, log, prices)
    log += adjusted(found)
    assert adjusted(looked_at(usage, log, prices)) == []
    once = list({event.event_id: event for event in log}.values())
    for event, call in zip(usage, found, strict=True):
        counts = (event.cost_nano_usd or 0) + sum(
            one.difference_nano_usd for one in once if one.usage_id == event.event_id
        )
        assert counts == (call.after_nano_usd or 0)
        rates = prices.models.get((event.provider, event.model))
        if rates is not None and (event.cost_nano_usd or 0) >= 0:
            assert counts == rates.cost_nano_usd(event.input_tokens, 0, event.output_tokens)


@pytest.mark.parametrize("who, why", [("", "list"), ("ann", "x" * 1_001)])
def test_nobody_and_a_reason_too_long_are_refused(who: str, why: str) -> None:
    """Before anything is appended: on the log it would be a dead letter."""
    call = looked_at([a_call("acme")], [], Prices({("openai", "gpt-4o"): Rates(1, 1, 1, 0, 1)}))[0]
    with pytest.raises(InvalidEventError, match="actor" if not who else "reason"):
        call.adjustment(START_US, who, why)


@given(calls(), PRICES, st.randoms(use_true_random=False))
def test_spend_is_the_naive_sum_in_whatever_order_calls_and_adjustments_come(
    usage: list[UsageRecorded], prices: Prices, chance: object
) -> None:
    """Batch by batch, each of one event; and the sum over the tenant is what the calls count for."""
    found = looked_at(usage, [], prices)
    events: list[Charged] = [*usage, *adjusted(found)]
    shuffled = list(events)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    days: dict[str, SpendDay] = {}
    for event in shuffled:
        for spend, quarters in charge(sums_of(event)).items():
            days[spend] = days.get(spend, SpendDay(parse_spend_id(spend)[2])).plus(quarters)
    assert {spend: orjson.loads(day.to_json()) for spend, day in days.items()} == spend_documents(events)
    total = [day.total for spend, day in days.items() if spend.startswith("acme|tenant|")]
    assert sum(one.cost_nano_usd for one in total) == sum(call.after_nano_usd or 0 for call in found)
    assert sum(one.unpriced_calls for one in total) == sum(call.after_nano_usd is None for call in found)
    assert sum(one.calls for one in total) == len(usage)


def sums_of(event: Charged) -> dict[Group, list[int]]:
    """What a batch of this event alone comes to."""
    groups: dict[Group, list[int]] = {}
    if isinstance(event, SpendAdjusted):
        post_adjustment(groups, event)
        return groups
    payer = Identity(
        event.tenant, event.org, event.team, event.user, event.api_key, event.provider, event.model
    )
    cost = event.cost_nano_usd
    groups[payer, quarter_of(event.occurred_at)] = [
        *(cost or 0, 1, event.input_tokens, event.output_tokens, int(cost is None))
    ]
    return groups


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--from", "yesterday"), "RFC 3339"),
        (("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"), "--from has to lie before --to"),
        (("--archive", "nowhere"), "no archive in nowhere"),
        (("--policy", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_said_before_any_server_is_asked(arguments: tuple[str, ...], said: str) -> None:
    """In words that name the option or the file."""
    ended = CliRunner().invoke(app, ["reprice", *arguments])
    assert ended.exit_code != 0
    assert said in f"{ended.exception} {ended.output}"
