"""What the edge takes for an event, and what it says of the rest."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from api.cloudevents import InvalidBatchError, MalformedBodyError, Received, TimeBounds, decode, parse_body
from events.codec import from_record
from events.envelope import Event, OutcomeKind
from events.pricing import PRICE_VERSION, price_call
from events.provider_health_checked import ProviderHealthChecked
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded
from tests.cloud_events import health_check, routing, usage

DAY_US = 86_400_000_000
NOW_US = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z
BOUNDS = TimeBounds(NOW_US, 366 * DAY_US, DAY_US)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def decoded(*items: Any, traceparent: str | None = None) -> list[Received]:
    return decode(items, BOUNDS, single=False, traceparent=traceparent)


def event_of(one: Received) -> Event:
    """The event that its values are of."""
    return from_record(one.topic, one.record)


def faults(*items: Any) -> list[tuple[int, str, str]]:
    """Index, dotted path and detail of all that is wrong."""
    with pytest.raises(InvalidBatchError) as refused:
        decoded(*items)
    return [(fault.index, ".".join(map(str, fault.path)), fault.detail) for fault in refused.value.faults]


def test_attributes_become_the_envelope_and_data_the_fields() -> None:
    """A usage event has what its CloudEvent said, in the units of the inside."""
    item = usage(team="search", cost_usd="0.001234567", breaker_epoch=3)
    item |= {"time": "2026-03-01T13:00:00.25+01:00", "correlationid": "corr", "causationid": "cause"}
    [one] = decoded(item)
    event = event_of(one)
    assert isinstance(event, UsageRecorded)
    assert (event.event_id, event.source, event.tenant) == (item["id"], "gateway-1", "acme")
    assert (event.correlation_id, event.causation_id) == ("corr", "cause")
    assert event.occurred_at == NOW_US + 250_000
    assert (event.team, event.breaker_epoch, event.outcome) == ("search", 3, OutcomeKind.SUCCESS)
    assert event.cost_nano_usd == 1_234_567
    assert one.headers == ()


@pytest.mark.parametrize(
    "spelling", ["UsageRecorded", "interlock.UsageRecorded", "interlock.UsageRecorded.v1"]
)
def test_a_type_may_carry_its_namespace_and_version(spelling: str) -> None:
    """The event type may be spelled short or long."""
    [one] = decoded(usage() | {"type": spelling})
    assert one.topic.event is UsageRecorded


def test_each_producer_type_keeps_its_place_in_the_batch() -> None:
    """Events of several types come out in the order in which they came."""
    found = decoded(usage(), health_check(), routing(), usage(), health_check())
    assert [one.topic.event for one in found] == [
        UsageRecorded,
        ProviderHealthChecked,
        RoutingDecided,
        UsageRecorded,
        ProviderHealthChecked,
    ]


def test_usage_without_a_cost_is_priced_on_arrival() -> None:
    """The price of the call's own time and the version of the price list are put into the event."""
    [one] = decoded(usage())
    assert one.topic.event is UsageRecorded
    expected = price_call("openai", "gpt-4o", one.record["occurred_at"], input_tokens=1000, output_tokens=200)
    assert one.record["cost_nano_usd"] == expected is not None
    assert one.record["price_version"] == PRICE_VERSION


def test_usage_of_an_unknown_model_stays_unpriced() -> None:
    """No price is made up."""
    [one] = decoded(usage(model="no-such-model"))
    assert one.topic.event is UsageRecorded
    assert (one.record["cost_nano_usd"], one.record["price_version"]) == (None, None)


def test_a_given_cost_is_not_priced_again() -> None:
    """What the gateway was charged counts, also when it is nothing."""
    free, cheap = decoded(usage(cost_nano_usd=0), usage(cost_usd="0.5"))
    assert free.topic.event is UsageRecorded
    assert cheap.topic.event is UsageRecorded
    assert (free.record["cost_nano_usd"], cheap.record["cost_nano_usd"]) == (0, 500_000_000)


def test_an_event_without_a_time_happens_now() -> None:
    """`time` may be left out."""
    [one] = decoded(usage())
    assert one.record["occurred_at"] == NOW_US


def test_trace_context_and_extensions_become_headers() -> None:
    """Nothing that a producer says is lost; its own trace context goes before the request's."""
    item = usage() | {
        "traceparent": TRACEPARENT,
        "tracestate": "a=b",
        "gatewayzone": "eu-1",
        "canary": True,
        "subject": "s",
    }
    [own] = decoded(item, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-00")
    assert own.headers == (
        ("traceparent", TRACEPARENT.encode()),
        ("tracestate", b"a=b"),
        ("ce_canary", b"true"),
        ("ce_gatewayzone", b"eu-1"),
        ("ce_subject", b"s"),
    )
    [inherited] = decoded(usage(), traceparent=TRACEPARENT)
    assert inherited.headers == (("traceparent", TRACEPARENT.encode()),)


@pytest.mark.parametrize(
    "change, path, says",
    [
        ({"specversion": "0.3"}, "specversion", "1.0"),
        ({"id": "42"}, "id", "UUID"),
        ({"id": None}, "id", "string"),
        ({"source": ""}, "source", "at least 1 character"),
        ({"type": "Nonsense"}, "type", "UsageRecorded"),
        ({"type": 5}, "type", "UsageRecorded"),
        ({"type": "BudgetChanged"}, "type", "PUT /v1/budgets"),
        ({"type": "BreakerTransitioned"}, "type", "derived"),
        ({"tenant": ""}, "tenant", "required"),
        ({"tenant": 7}, "tenant", "string"),
        ({"time": "yesterday"}, "time", "RFC 3339"),
        ({"time": 1_772_366_400}, "time", "RFC 3339"),
        ({"time": "2026-02-30T12:00:00Z"}, "time", "no time"),
        ({"time": "2026-03-01T12:00:00"}, "time", "offset"),
        ({"time": "1970-01-01T00:00:00Z"}, "time", "days ago"),
        ({"time": "2100-01-01T00:00:00Z"}, "time", "ahead"),
        ({"datacontenttype": "text/plain"}, "datacontenttype", "application/json"),
        ({"data": None}, "data", "JSON object"),
        ({"data": [1]}, "data", "JSON object"),
        ({"traceparent": "nonsense"}, "traceparent", "traceparent"),
        ({"tracestate": 7}, "tracestate", "string"),
        ({"Bad-Name": "x"}, "Bad-Name", "extension"),
        ({"extension": {"a": 1}}, "extension", "string"),
        ({"subject": None}, "subject", "string"),
        ({"dataschema": False}, "dataschema", "string"),
        ({f"ext{n}": "x" for n in range(17)}, "", "17 extension attributes"),
    ],
)
def test_a_wrong_attribute_is_named(change: dict[str, Any], path: str, says: str) -> None:
    """Each fault leads to the attribute and says what it should be."""
    [(index, where, detail)] = faults(usage() | change)
    assert (index, where) == (0, path)
    assert says in detail


@pytest.mark.parametrize(
    "change, path, says",
    [
        ({"input_tokens": -1}, "data.input_tokens", "greater than or equal to 0"),
        ({"input_tokens": True}, "data.input_tokens", "integer"),
        ({"input_tokens": "12"}, "data.input_tokens", "integer"),
        ({"input_tokens": 1.5}, "data.input_tokens", "integer"),
        ({"input_tokens": 10**30}, "data.input_tokens", "less than or equal"),
        ({"cached_input_tokens": 5000}, "data.cached_input_tokens", "input_tokens"),
        ({"latency_ms": 8 * 86_400_000}, "data.latency_ms", "less than or equal"),
        ({"outcome": "FINE"}, "data.outcome", "SUCCESS"),
        ({"provider": ""}, "data.provider", "at least 1 character"),
        ({"provider": "a/b"}, "data.provider", "slash"),
        ({"tokens": 5}, "data.tokens", "no such field"),
        ({"event_id": "x"}, "data.event_id", "beside that, as `id`"),
        ({"correlation_id": "x"}, "data.correlation_id", "beside that, as `correlationid`"),
        ({"cost_usd": 0.1}, "data.cost_usd", "decimal string"),
        ({"cost_usd": "1e-3"}, "data.cost_usd", "decimal string"),
        ({"cost_usd": "1", "cost_nano_usd": 1}, "data.cost_usd", "one of them"),
        ({"attributes": {"a": 1}}, "data.attributes.a", "string"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], path: str, says: str) -> None:
    """Values are taken as they are: nothing that only looks like a number is one."""
    [(_, where, detail)] = faults(usage(**change))
    assert where == path
    assert says in detail


def test_nan_is_no_latency() -> None:
    """JSON has no NaN, and a body with one is no JSON."""
    with pytest.raises(MalformedBodyError):
        parse_body(b'{"specversion": "1.0", "data": {"latency_ms": NaN}}')


def test_every_fault_of_every_item_is_listed_in_order() -> None:
    """One answer is enough to mend a whole batch."""
    found = faults(
        usage(), usage(input_tokens=-1, output_tokens=-1), 5, health_check(status="X"), usage() | {"id": "x"}
    )
    assert [(index, path) for index, path, _ in found] == [
        (1, "data.input_tokens"),
        (1, "data.output_tokens"),
        (2, ""),
        (3, "data.status"),
        (4, "id"),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"12", b"null", b"\xff\xfe", b'{"a": "\\ud800"}'])
def test_a_body_that_is_no_json_object_or_array_is_malformed(body: bytes) -> None:
    """Broken JSON, other values and broken text are told apart from invalid events."""
    with pytest.raises(MalformedBodyError):
        parse_body(body)


def test_a_single_event_and_an_empty_batch_are_told_apart() -> None:
    """An object is one event; an array may hold none."""
    assert parse_body(b"[]") == ([], False)
    assert parse_body(b'{"a": 1}') == ([{"a": 1}], True)


def test_a_batch_of_500_costs_a_few_milliseconds() -> None:
    """The best of several, so that it tells a lost fast path and no collection of garbage or busy machine."""
    body = orjson.dumps([usage(team="search", org="o", user="u", api_key="k") for _ in range(500)])
    took_s = []
    for _ in range(7):
        started = time.thread_time()
        decoded(*parse_body(body)[0])
        took_s.append(time.thread_time() - started)
    assert min(took_s) < 0.03
