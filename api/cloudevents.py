"""CloudEvents 1.0 in JSON to events: one, a batch, or a plain JSON array of them.

`type` is an event type that producers may send, `id` the event_id (a UUID; sending it again is harmless), `source` and
`time` the envelope's, the extension attributes `tenant`, `correlationid` and `causationid` its other fields. `traceparent`,
`tracestate` and all further extension attributes travel as headers of the record. `data` holds the fields of the type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from api.cloudevent_headers import HeaderError, record_headers
from api.event_costs import MONEY, CostError, fill_cost
from api.json_values import fields_validator
from api.rfc3339 import parse_time_us
from events.catalogue import TOPIC_OF_EVENT, TOPIC_OF_TYPE, Topic
from events.compiled_reader import Record
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
    "SpendAdjusted": "use `interlock reprice`",
}
ENVELOPE = tuple(part.name for part in fields(Event))
_OUTSIDE = {
    "event_id": "id",
    "occurred_at": "time",
    "correlation_id": "correlationid",
    "causation_id": "causationid",
}
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


class Received(NamedTuple):
    """A valid event as the plain values of its fields, and the headers that its record gets."""

    topic: Topic
    record: Record
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """How far from now an event's time may lie, as the folds will have it."""

    now_us: int
    max_age_us: int
    max_ahead_us: int


class _TypeRules:
    """How the `data` of one event type is read."""

    def __init__(self, event: type[Event]) -> None:
        self.topic = TOPIC_OF_EVENT[event]
        self.event = event
        self.validated = fields_validator(event)
        own = {part.name for part in fields(event)} - set(ENVELOPE)
        self.data_fields = frozenset(own | set(MONEY.get(event, ())[:1]))
        self.needs_tenant = self.topic.key_field == "tenant"
        self.defaults: Record = {
            part.name: part.default if part.default_factory is MISSING else part.default_factory()
            for part in fields(event)
            if part.default is not MISSING or part.default_factory is not MISSING
        }


_RULES = {event.__name__: _TypeRules(event) for event in PRODUCER_TYPES}


@dataclass(slots=True)
class _Batch:
    """What is the same for all items of a batch, and what is wrong with any."""

    bounds: TimeBounds
    traceparent: str | None
    faults: list[Fault] = field(default_factory=list)

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
    received = [_received(batch, index, item) for index, item in enumerate(items)]
    if batch.faults:
        raise InvalidBatchError(batch.faults, _ids(items), single=single)
    return [one for one in received if one is not None]


def _received(batch: _Batch, index: int, item: Any) -> Received | None:
    """The event of one CloudEvent; None when a fault of it left nothing to look at."""
    if not isinstance(item, dict):
        batch.fault(index, "must be a CloudEvent (a JSON object)")
        return None
    rules = _rules(batch, index, item.get("type"))
    data = item.get("data")
    occurred_at = _time(batch, index, item)
    headers = _form_and_headers(batch, index, item)
    if not isinstance(data, dict):
        batch.fault(index, _data_hint(item), "data")
        return None
    if rules is None:
        return None
    values = _own_values(batch, index, data, rules, occurred_at)
    if "id" in item:
        values["event_id"] = item["id"]
    if "source" in item:
        values["source"] = item["source"]
    values["correlation_id"] = item.get("correlationid")
    values["causation_id"] = item.get("causationid")
    values["tenant"] = _tenant(batch, index, item, rules)
    try:
        return Received(rules.topic, rules.validated(values), headers)
    except ValidationError as error:
        for finding in error.errors(include_url=False, include_input=False):
            batch.fault(index, _sentence(finding["msg"]), *_outside(finding["loc"]))
        return None


def _ids(items: Sequence[Any]) -> dict[int, str]:
    """What the items call themselves, by their index."""
    named = ((index, item.get("id")) for index, item in enumerate(items) if isinstance(item, dict))
    return {index: name for index, name in named if isinstance(name, str)}


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


def _own_values(
    batch: _Batch, index: int, data: dict[str, Any], rules: _TypeRules, occurred_at: int
) -> dict[str, Any]:
    """A value for each of the event's own fields that is given or has a default; what is no field is a fault."""
    values = rules.defaults | data
    if not rules.data_fields.issuperset(data):
        for name in data.keys() - rules.data_fields:
            batch.fault(index, _no_field(name, rules), "data", name)
            del values[name]
    values["occurred_at"] = occurred_at
    try:
        fill_cost(rules.event, values)
    except CostError as error:
        batch.fault(index, str(error), "data", *((error.field,) if error.field else ()))
    return values


def _no_field(name: str, rules: _TypeRules) -> str:
    if name in ENVELOPE:
        return f"does not belong to `data`: give it beside that, as `{_OUTSIDE.get(name, name)}`"
    return f"no such field of {rules.event.__name__}"


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
    if not rules.needs_tenant:
        return "" if tenant is None else tenant
    if tenant is None or tenant == "":
        batch.fault(index, f"is required for {rules.event.__name__}: the tenant whose call it was", "tenant")
        return "missing"
    return tenant


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
