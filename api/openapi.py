"""What the OpenAPI document says beyond the routes: CloudEvents bodies, problems, the headers that every answer has."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from api.cloudevents import PRODUCER_TYPES
from api.event_costs import MONEY
from api.problems import MEDIA_TYPE, PROBLEM_SCHEMA
from events.catalogue import TOPIC_OF_EVENT
from events.envelope import Event

REF = "#/components/schemas/"
_ENVELOPE = frozenset(field.name for field in fields(Event))

DESCRIPTION = """
The event-sourced state plane for AI-provider routing: append events, read what follows from them.

**Consistency.** A read takes `consistency=eventual` (the default: from the cache of this process), `session` (with
`at_least`, a position vector that a write answered: waits until the live state has folded it) or `strong` (waits until
everything is folded that was on the log when the request came). A wait is bounded; then the answer is 504 with the lag.
Every read says in the header `Interlock-Positions` what it has folded at least.

**Units.** Money is US dollars as a decimal string (`*_usd`), times are RFC 3339, other units come last in a name.

**Errors** are RFC 9457 problems. 429 and 503 carry `Retry-After`; sending the same events again is safe, for an event
keeps its `id` and is counted once.
"""

_REASONS = {
    400: "The body cannot be parsed.",
    404: "No such thing.",
    412: "`If-Match` names another version than the current one.",
    413: "The body, the batch or an event is too large.",
    415: "The media type is not read here.",
    422: "A value is invalid; `errors` names each.",
    429: "Too much at once: come back after `Retry-After` seconds.",
    503: "What is needed for the answer (the log, a store) is away: come back after `Retry-After` seconds.",
    504: "The live state did not reach the positions in time; `lag` says what is missing.",
}

_EXAMPLES: dict[str, dict[str, Any]] = {
    "UsageRecorded": {
        "specversion": "1.0",
        "id": "018bcfe5-687b-7abc-8def-0123456789ab",
        "source": "gateway-1",
        "type": "UsageRecorded",
        "time": "2026-03-01T12:00:00.123Z",
        "tenant": "acme",
        "data": {
            "request_id": "req-1",
            "provider": "openai",
            "model": "gpt-4o",
            "team": "search",
            "outcome": "SUCCESS",
            "input_tokens": 1200,
            "output_tokens": 300,
            "latency_ms": 840,
        },
    },
    "ProviderHealthChecked": {
        "specversion": "1.0",
        "id": "018bcfe5-687b-7abc-8def-0123456789ac",
        "source": "prober-eu",
        "type": "ProviderHealthChecked",
        "time": "2026-03-01T12:00:00Z",
        "data": {"provider": "openai", "model": "gpt-4o", "status": "HEALTHY", "latency_ms": 210.5},
    },
    "RoutingDecided": {
        "specversion": "1.0",
        "id": "018bcfe5-687b-7abc-8def-0123456789ad",
        "source": "gateway-1",
        "type": "RoutingDecided",
        "time": "2026-03-01T12:00:00Z",
        "tenant": "acme",
        "data": {"request_id": "req-1", "provider": "openai", "model": "gpt-4o", "strategy": "priority"},
    },
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": REF + "Problem"}}}
    retry = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return {
        code: {
            "description": _REASONS[code],
            "content": content,
            **({"headers": retry} if code in (429, 503) else {}),
        }
        for code in codes
    }


def events_body() -> dict[str, Any]:
    """The request body of `POST /v1/events`."""
    one = {"oneOf": [{"$ref": f"{REF}{event.__name__}CloudEvent"} for event in PRODUCER_TYPES]}
    many = {"type": "array", "items": one}
    examples = {name: {"summary": f"One {name}", "value": value} for name, value in _EXAMPLES.items()}
    batch = {"batch": {"summary": "A batch", "value": list(_EXAMPLES.values())}}
    return {
        "required": True,
        "content": {
            "application/cloudevents+json": {"schema": one, "examples": examples},
            "application/cloudevents-batch+json": {"schema": many, "examples": batch},
            "application/json": {"schema": {"anyOf": [one, many]}, "examples": examples | batch},
        },
    }


def install(app: FastAPI) -> None:
    """Complete the document that FastAPI draws up; it is drawn up once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = PROBLEM_SCHEMA
            for event in PRODUCER_TYPES:
                schemas |= _cloud_event(event)
            _mend_answers(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _cloud_event(event: type[Event]) -> dict[str, Any]:
    """The schemas of one event type as a CloudEvent, derived from the event's model."""
    name = event.__name__
    whole = TypeAdapter(event).json_schema(ref_template=REF + "{model}")
    parts = whole.pop("$defs", {})
    data: dict[str, Any] = {
        "type": "object",
        "description": f"{(event.__doc__ or '').splitlines()[0]} Times in microseconds, tokens and calls are counts.",
        "properties": {key: value for key, value in whole["properties"].items() if key not in _ENVELOPE},
        "required": [key for key in whole["required"] if key not in _ENVELOPE],
        "additionalProperties": False,
    }
    if "provider" in data["properties"]:
        data["properties"]["provider"] |= {"pattern": "^[^/]*$"}
    if event in MONEY:
        outside, inside = MONEY[event]
        data["properties"][outside] = {
            "type": ["string", "null"],
            "pattern": r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$",
            "description": f"US dollars, in place of {inside} (nano-USD). Without both it is priced on arrival.",
        }
    return {**parts, f"{name}Data": data, f"{name}CloudEvent": _envelope(event, name)}


def _envelope(event: type[Event], name: str) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 256}
    optional = {"type": ["string", "null"], "maxLength": 256}
    keyed_by_tenant = TOPIC_OF_EVENT[event].key_field == "tenant"
    return {
        "type": "object",
        "description": f"CloudEvents 1.0 with a {name}. Further extension attributes travel as headers of the record.",
        "required": ["specversion", "id", "source", "type", *(["tenant"] if keyed_by_tenant else []), "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {
                "type": "string",
                "format": "uuid",
                "description": "The event_id, a UUID (v7 is best); the same id is counted once.",
            },
            "source": {**text, "description": "Who says so."},
            "type": {"enum": [name, f"interlock.{name}", f"interlock.{name}.v1"]},
            "time": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "When it happened; default: now.",
            },
            "datacontenttype": {"const": "application/json"},
            "subject": {"type": "string", "maxLength": 1000},
            "dataschema": {"type": "string", "maxLength": 1000},
            "tenant": text if keyed_by_tenant else optional,
            "correlationid": optional,
            "causationid": optional,
            "traceparent": {
                "type": ["string", "null"],
                "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            },
            "tracestate": {"type": ["string", "null"], "maxLength": 512},
            "data": {"$ref": f"{REF}{name}Data"},
        },
        "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
        "additionalProperties": {"type": ["string", "integer", "boolean"], "maxLength": 1000},
        "example": deepcopy(_EXAMPLES[name]),
    }


def _mend_answers(document: dict[str, Any]) -> None:
    """FastAPI announces its own shape of a 422, ours is a Problem; what is no HTTP is refused before all routes."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            if "{" in path:
                # A name with a line break in it, or with one slash too many, fits no route.
                answers.setdefault("404", problems(404)[404])
            if "application/json" in answers.get("422", {}).get("content", {}):
                answers["422"] = problems(422)[422]
            if path.startswith("/v1/"):
                answers.setdefault("429", problems(429)[429])
            for code in answers.keys() & {"200", "202"}:
                answers[code].setdefault("headers", {}).update(_headers(operation))
            answers.setdefault(
                "400", {"description": "No HTTP that can be parsed, for example a URL of over 64 KiB."}
            )
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _headers(operation: dict[str, Any]) -> dict[str, Any]:
    """The headers of an answer that is a success."""
    headers: dict[str, Any] = {"X-Request-Id": _text("The request's id, taken over or given.")}
    reads = any(parameter["name"] == "at_least" for parameter in operation.get("parameters", ()))
    if reads:
        headers["Interlock-Positions"] = _text(
            "What the answer has folded at least.", "usage-3:1042,budgets-3:7"
        )
    elif "202" in operation["responses"]:
        headers["Interlock-Positions"] = _text("Where it is on the log: give it as at_least.", "usage-3:1042")
    return headers


def _text(description: str, *examples: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", **({"examples": list(examples)} if examples else {})}
    return {"description": description, "schema": schema}
