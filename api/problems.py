"""What went wrong, as RFC 9457 `application/problem+json`: the one place where errors become HTTP codes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.cloudevents import Fault, InvalidBatchError, MalformedBodyError
from events.errors import (
    BackpressureError,
    EventTooLargeError,
    InvalidEventError,
    LogUnavailableError,
    UnknownTopicError,
)
from events.positions import InvalidPositionError
from events.publisher import PartlyAppendedError
from projections.analytics.errors import AnalyticsOffError, AnalyticsUnavailableError
from projections.errors import HistoryUnavailableError, LaggingError, LiveUnavailableError, TooMuchAskedError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:interlock:problem:"
RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is no success. `name` ends the problem's type URI and stays the same over releases."""

    status: int
    name: str
    title: str
    detail: str
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


class ProblemError(Exception):
    """A route's own refusal."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def not_found(what: str, detail: str) -> ProblemError:
    """404 for a thing that is not there: say what was looked for and how it comes to be."""
    return ProblemError(Problem(404, "not-found", f"No such {what}", detail))


def precondition_failed(detail: str) -> ProblemError:
    """412 for a version that is no longer the current one."""
    return ProblemError(Problem(412, "precondition-failed", "It was changed since you read it", detail))


def invalid_value(pointer: str, detail: str) -> ProblemError:
    """422 for one value of the request, by its JSON pointer or parameter name."""
    errors = [{"pointer": pointer, "detail": detail}]
    return ProblemError(
        Problem(422, "invalid-value", "A value is invalid", f"{pointer}: {detail}", extra={"errors": errors})
    )


class BodyTooLargeError(HTTPException):
    """The body is larger than the settings allow. An HTTPException, so that no body parser takes it for its own."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is over {limit} bytes: send fewer or smaller events at once")


def problem_response(problem: Problem, request: Request) -> Response:
    """The answer to the client."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(problem.retry_after_s))
    return Response(problem_body(problem, request.scope), problem.status, headers, MEDIA_TYPE)


def problem_body(problem: Problem, scope: Mapping[str, Any]) -> bytes:
    """Its bytes; what the problem adds comes after the members of RFC 9457."""
    content: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.name,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": scope["path"],
    }
    request_id = scope.get("state", {}).get("request_id")
    if request_id is not None:
        content["request_id"] = request_id
    return orjson.dumps(content | dict(problem.extra))


def _pointer(path: tuple[str | int, ...]) -> str:
    """JSON pointer of RFC 6901; empty for the whole."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _invalid_batch(error: InvalidBatchError) -> Problem:
    def entry(fault: Fault) -> dict[str, Any]:
        path = fault.path if error.single else (fault.index, *fault.path)
        found: dict[str, Any] = {} if error.single else {"index": fault.index}
        if fault.index in error.ids:
            found["id"] = error.ids[fault.index][:64]
        named = [part for part in fault.path if isinstance(part, str)]
        if named:
            found["field"] = named[-1]
        return {**found, "pointer": _pointer(path), "detail": fault.detail}

    errors = [entry(fault) for fault in error.faults]
    items = len({fault.index for fault in error.faults})
    first = f"{errors[0]['pointer'] or 'the event'}: {errors[0]['detail']}"
    what = "the event is invalid" if error.single else f"{items} of the events are invalid"
    return Problem(
        422,
        "invalid-event",
        "Not every item is a valid event",
        f"{what} and nothing was appended; first {first}",
        extra={"errors": errors},
    )


def _invalid_request(error: RequestValidationError) -> Problem:
    errors = []
    malformed = False
    for finding in error.errors():
        where, *path = finding["loc"]
        malformed = malformed or finding["type"] == "json_invalid"
        place = _pointer(tuple(path)) if where == "body" else str(path[-1] if path else where)
        errors.append(
            {"in": str(where), "pointer": place, "detail": finding["msg"].removeprefix("Value error, ")}
        )
    if malformed:
        return Problem(400, "malformed-body", "The body is not JSON", errors[0]["detail"])
    first = f"{errors[0]['pointer'] or errors[0]['in']}: {errors[0]['detail']}"
    return Problem(422, "invalid-value", "A value is invalid", first, extra={"errors": errors})


def _partly_appended(error: PartlyAppendedError) -> Problem:
    appended = [
        {"index": index, "position": str(position)}
        for index, position in enumerate(error.positions)
        if position is not None
    ]
    return Problem(
        503,
        "partly-appended",
        "Only some of the events were appended",
        f"{error}; send the whole request again: events keep their ids, so none is counted twice",
        retry_after_s=RETRY_AFTER_S,
        extra={"appended": appended},
    )


def _lagging(error: LaggingError) -> Problem:
    lag = {str(partition): records for partition, records in sorted(error.lag.items())}
    return Problem(
        504,
        "lagging",
        "The live state has not reached the positions that were asked for",
        str(error),
        retry_after_s=RETRY_AFTER_S,
        extra={"lag": lag},
    )


def _refused_event(error: InvalidEventError) -> Problem:
    pointer = "/" + error.field.replace(".", "/") if error.field else ""
    errors = [{"pointer": pointer, "detail": error.detail}]
    return Problem(422, "invalid-event", "Not a valid event", error.detail, extra={"errors": errors})


def _http(error: HTTPException) -> Problem:
    names = {
        404: ("not-found", "No such resource"),
        405: ("method-not-allowed", "The resource has no such method"),
        413: ("too-large", "The request is too large"),
        415: ("unsupported-media-type", "The body's media type is not read here"),
    }
    name, title = names.get(error.status_code, ("refused", "The request was refused"))
    return Problem(error.status_code, name, title, str(error.detail), headers=error.headers or {})


PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    ProblemError: lambda error: error.problem,
    HTTPException: _http,
    RequestValidationError: _invalid_request,
    InvalidBatchError: _invalid_batch,
    MalformedBodyError: lambda error: Problem(
        400, "malformed-body", "The body is not JSON events", str(error)
    ),
    InvalidEventError: _refused_event,
    EventTooLargeError: lambda error: Problem(413, "too-large", "An event is too large", error.detail),
    InvalidPositionError: lambda error: Problem(422, "invalid-value", "Not a position", str(error)),
    UnknownTopicError: lambda error: Problem(404, "not-found", "No such topic", str(error)),
    BackpressureError: lambda error: Problem(
        429, "backpressure", "The log is behind", str(error), retry_after_s=error.retry_after_s
    ),
    PartlyAppendedError: _partly_appended,
    LogUnavailableError: lambda error: Problem(
        503, "log-unavailable", "The log is away", str(error), retry_after_s=RETRY_AFTER_S
    ),
    LiveUnavailableError: lambda error: Problem(
        503, "live-unavailable", "The live store is away", str(error), retry_after_s=RETRY_AFTER_S
    ),
    HistoryUnavailableError: lambda error: Problem(
        503, "history-unavailable", "The history cannot be asked", str(error), retry_after_s=RETRY_AFTER_S
    ),
    AnalyticsUnavailableError: lambda error: Problem(
        503, "analytics-unavailable", "The analytics cannot be asked", str(error), retry_after_s=RETRY_AFTER_S
    ),
    AnalyticsOffError: lambda error: Problem(503, "analytics-off", "There are no analytics", str(error)),
    LaggingError: _lagging,
    TooMuchAskedError: lambda error: Problem(422, "too-much", "The answer would be too large", str(error)),
}
"""The problem of each error; of several classes that fit the nearest counts."""


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error; an unknown one is our fault and says nothing of the inside."""
    for kind in type(error).__mro__:
        found = PROBLEMS.get(kind)
        if found is not None:
            return found(error)
    return Problem(500, "internal", "Interlock has a defect", "it was logged under this request_id")


def add_handlers(app: FastAPI, methods_of: Callable[[str], str]) -> None:
    """Answer every known error with its problem; an unknown one is left to what surrounds the request.

    `methods_of` gives the methods of a path, for the header `Allow`.
    """

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == 405:
            problem = replace(problem, headers={"Allow": methods_of(request.url.path)})
        return problem_response(problem, request)

    handler: Callable[[Request, Exception], Awaitable[Response]] = answer
    for kind in PROBLEMS:
        app.add_exception_handler(kind, handler)


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {
            "type": "string",
            "description": f"{TYPE_PREFIX}<name>; the name stays the same over releases.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, where, and what to do."},
        "instance": {"type": "string", "description": "Path of the request."},
        "request_id": {
            "type": "string",
            "description": "The same as in the header X-Request-Id and in the log.",
        },
        "errors": {
            "type": "array",
            "description": "Every value that was wrong, by JSON pointer into the body or by parameter name.",
            "items": {"type": "object"},
        },
        "appended": {
            "type": "array",
            "description": "Of a batch that was partly appended: which items, and where.",
            "items": {"type": "object"},
        },
        "lag": {
            "type": "object",
            "description": "Records that the live state is behind, by partition of the log.",
            "additionalProperties": {"type": "integer"},
        },
    },
}
