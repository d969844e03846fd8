"""CloudEvents 1.0 in JSON to events: one, a batch, or a plain JSON array of them.

`type` is an event type that producers may send, `id` the event_id (a UUID; sending it again is harmless), `source` and
`time` the envelope's, the extension attributes `tenant`, `correlationid` and `causationid` its other fields. `traceparent`,
`tracestate` and all further extension attributes travel as headers of the record. `data` holds the fields of the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from api.cloudevent_headers import HeaderError, record_headers
from api.event_costs import MONEY, CostError, fill_cost
from api.rfc3339 import parse_time_us
from events.catalogue import TOPIC_OF_TYPE
from events.envelope import Event
from events.provider_health_checked import ProviderHealthChecked
from events.publisher import Header
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded

PRODUCER_TYPES: tuple[type[Event], ...] = (UsageRecorded, ProviderHealthChecked, RoutingDecided)
OPERATOR_HINTS = {
    "BreakerOverridden": "use PUT /v1/breakers/{deployment}/override",
    "BudgetChanged": "use PUT /v1/budgets/{tenant}/{budget_id}",
    "ProviderChanged": "use PUT /v1/providers/{provider}",
}
ENVELOPE = tuple(part.name for part in fields(Event))
_OUTSIDE = {
    "event_id": "id",
    "occurred_at": "time",
    "correlation_id": "correlationid",
    "causation_id": "causationid",
}
_FROM_ATTRIBUTES = (
    ("event_id", "id"),
    ("source", "source"),
    ("correlation_id", "correlationid"),
    ("causation_id", "causationid"),
)
_TYPE = re.compile(r"(?:interlock\.)?(?:events\.)?([A-Za-z]+)(?:\.v\d+)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one item: `path` leads to it from the item, `index` is its place in the batch."""

    index: int
    path: tuple[str | int, ...]
    detail: str


class InvalidBatchError(Exception):
    """Some items are no events: nothing is to be appended. `single` when the body was one event and no batch."""

    def __init__(self, faults: list[Fault], ids: dict[int, str], *, single: bool) -> None:
        super().__init__(f"{len({fault.index for fault in faults})} invalid")
        self.faults = sorted(faults, key=lambda fault: fault.index)
        self.ids = ids
        self.single = single


class MalformedBodyError(Exception):
    """The body is not JSON, or neither an object nor an array of objects."""


@dataclass(frozen=True, slots=True)
class Received:
    """A valid event with the headers that its record gets."""

    event: Event
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """How far from now an event's time may lie, as the folds will have it."""

    now_us: int
    max_age_us: int
    max_ahead_us: int


@dataclass(slots=True)
class _TypeRules:
    """How the `data` of one event type is read."""

    event: type[Event]
    many: TypeAdapter[list[Any]] = field(init=False)
    data_fields: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        kind: Any = self.event
        self.many = TypeAdapter(list[kind])
        own = {part.name for part in fields(self.event)} - set(ENVELOPE)
        self.data_fields = frozenset(own | set(MONEY.get(self.event, ())[:1]))


_RULES = {event.__name__: _TypeRules(event) for event in PRODUCER_TYPES}


@dataclass(slots=True)
class _Batch:
    """Items on their way to events: records of one type are validated together."""

    bounds: TimeBounds
    traceparent: str | None
    faults: list[Fault] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)
    headers: dict[int, tuple[Header, ...]] = field(default_factory=dict)

    def fault(self, index: int, detail: str, *path: str | int) -> None:
        self.faults.append(Fault(index, path, detail))


def parse_body(body: bytes) -> tuple[list[Any], bool]:
    """The items of a body, and whether it was a single event."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from None
    if isinstance(content, list):
        return content, False
    if isinstance(content, dict):
        return [content], True
    raise MalformedBodyError("the body must be a CloudEvent (a JSON object) or an array of them")


def decode(
    items: Sequence[Any], bounds: TimeBounds, *, single: bool, traceparent: str | None = None
) -> list[Received]:
    """The events of the items, in their order; a UsageRecorded without a cost is priced here.

    `traceparent` is for events that bring none of their own. Raises InvalidBatchError with every fault of every item.
    """
    batch = _Batch(bounds, traceparent)
    for index, item in enumerate(items):
        _take(batch, index, item)
    received: list[Received | None] = [None] * len(items)
    for name, records in batch.records.items():
        _validate(batch, name, records, received)
    if batch.faults:
        raise InvalidBatchError(batch.faults, batch.ids, single=single)
    return [one for one in received if one is not None]


def _take(batch: _Batch, index: int, item: Any) -> None:
    """Check the attributes of one CloudEvent and put its record beside the others of its type."""
    if not isinstance(item, dict):
        batch.fault(index, "must be a CloudEvent (a JSON object)")
        return
    if isinstance(item.get("id"), str):
        batch.ids[index] = item["id"]
    rules = _rules(batch, index, item.get("type"))
    data = item.get("data")
    occurred_at = _time(batch, index, item)
    headers = _form_and_headers(batch, index, item)
    if not isinstance(data, dict):
        batch.fault(index, _data_hint(item), "data")
        return
    if rules is None:
        return
    record = _record(batch, index, data, rules, occurred_at)
    for inside, outside in _FROM_ATTRIBUTES:
        if outside in item:
            record[inside] = item[outside]
    record["tenant"] = _tenant(batch, index, item, rules)
    batch.records.setdefault(rules.event.__name__, []).append(record)
    batch.places.setdefault(rules.event.__name__, []).append(index)
    if headers:
        batch.headers[index] = headers


def _form_and_headers(batch: _Batch, index: int, item: dict[str, Any]) -> tuple[Header, ...]:
    """Check what is the same for every CloudEvent; the headers that its record gets."""
    if item.get("specversion") != "1.0":
        batch.fault(index, 'must be "1.0"', "specversion")
    if item.get("datacontenttype", "application/json") != "application/json":
        batch.fault(index, "must be application/json, or be left out", "datacontenttype")
    try:
        return record_headers(item, batch.traceparent)
    except HeaderError as error:
        batch.fault(index, str(error), *error.path)
        return ()


def _record(
    batch: _Batch, index: int, data: dict[str, Any], rules: _TypeRules, occurred_at: int
) -> dict[str, Any]:
    """The event's own fields; what is no field of the type is a fault."""
    record = {**data}
    if not rules.data_fields.issuperset(data):
        for name in data.keys() - rules.data_fields:
            batch.fault(index, f"no such field of {rules.event.__name__}", "data", name)
            del record[name]
    record["occurred_at"] = occurred_at
    try:
        fill_cost(rules.event, record)
    except CostError as error:
        batch.fault(index, str(error), "data", *((error.field,) if error.field else ()))
    return record


def _rules(batch: _Batch, index: int, given: Any) -> _TypeRules | None:
    rules = _RULES.get(given) if isinstance(given, str) else None
    if rules is not None:
        return rules
    match = _TYPE.fullmatch(given) if isinstance(given, str) else None
    name = match[1] if match else ""
    if name in _RULES:
        return _RULES[name]
    accepted = ", ".join(_RULES)
    if name in OPERATOR_HINTS:
        batch.fault(index, f"{name} is no producer's event: {OPERATOR_HINTS[name]}", "type")
    elif name in TOPIC_OF_TYPE:
        batch.fault(
            index, f"{name} is derived by the workers and cannot be sent; accepted are {accepted}", "type"
        )
    else:
        batch.fault(index, f"must be one of {accepted}", "type")
    return None


def _data_hint(item: dict[str, Any]) -> str:
    if "data_base64" in item:
        return "must be a JSON object; data_base64 is not read"
    return "must be a JSON object with the fields of the event type"


def _time(batch: _Batch, index: int, item: dict[str, Any]) -> int:
    bounds = batch.bounds
    given = item.get("time")
    if given is None:
        return bounds.now_us
    try:
        time_us = parse_time_us(given) if isinstance(given, str) else _no_time()
    except ValueError as error:
        batch.fault(index, str(error), "time")
        return bounds.now_us
    if time_us < bounds.now_us - bounds.max_age_us:
        batch.fault(index, f"is more than {bounds.max_age_us // 86_400_000_000} days ago", "time")
        return bounds.now_us
    if time_us > bounds.now_us + bounds.max_ahead_us:
        batch.fault(index, f"is more than {bounds.max_ahead_us // 1_000_000} s ahead of now", "time")
        return bounds.now_us
    return time_us


def _no_time() -> int:
    raise ValueError("must be an RFC 3339 string, for example 2026-03-01T12:00:00Z")


def _tenant(batch: _Batch, index: int, item: dict[str, Any], rules: _TypeRules) -> Any:
    tenant = item.get("tenant")
    if TOPIC_OF_TYPE[rules.event.__name__].key_field != "tenant":
        return "" if tenant is None else tenant
    if tenant is None or tenant == "":
        batch.fault(index, f"is required for {rules.event.__name__}: the tenant whose call it was", "tenant")
        return "missing"
    return tenant


def _validate(
    batch: _Batch, name: str, records: list[dict[str, Any]], received: list[Received | None]
) -> None:
    """Turn the records of one type into events, in one call of the validator."""
    places = batch.places[name]
    try:
        # Strict holds only for JSON: there an enum is its string and a tuple is an array.
        found = _RULES[name].many.validate_json(_as_json(records), strict=True)
    except ValidationError as error:
        for finding in error.errors(include_url=False, include_input=False):
            place, *path = finding["loc"]
            batch.fault(places[int(place)], _sentence(finding["msg"]), *_outside(path))
        return
    for index, event in zip(places, found, strict=True):
        received[index] = Received(event, batch.headers.get(index, ()))


def _as_json(records: list[dict[str, Any]]) -> bytes:
    try:
        return orjson.dumps(records)
    except TypeError:
        # A number of more than 64 bits: it is invalid, and the validator says where.
        return json.dumps(records).encode()


def _sentence(message: str) -> str:
    return (
        message.removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("Field required", "is required")
    )


def _outside(path: Sequence[str | int]) -> tuple[str | int, ...]:
    """Where the sender wrote the field that an event has at that path."""
    first = path[0] if path else ""
    if first in ENVELOPE:
        return (_OUTSIDE.get(str(first), first), *path[1:])
    return ("data", *path)
