"""What surrounds every request: its id and trace, the access log, and bounds on bodies and on requests at once."""

from __future__ import annotations

import re
import time
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cloudevent_headers import TRACEPARENT
from api.metrics import ApiMetrics
from api.problems import MEDIA_TYPE, BodyTooLargeError, Problem, problem_body, problem_of

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
UNBOUNDED_PATHS = frozenset({"/health/liveness", "/health/readiness", "/metrics"})
"""Answered also when the server is full, for they tell that it is; and too often to be logged."""

_log = structlog.get_logger("interlock.access")


class RequestContext:
    """Gives a request its id and trace context, and a line in the log when it was answered."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
        traceparent = headers.get("traceparent", "")
        state["request_id"] = request_id
        state["traceparent"] = traceparent if TRACEPARENT.fullmatch(traceparent) else None
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = request_id
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            _log.exception("a request failed on a defect", path=scope["path"])
            if status:
                raise
            await send_problem(problem_of(error), scope, send_with_id)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            self._note(scope, status, time.perf_counter() - started, request_id)

    def _note(self, scope: Scope, status: int, took_s: float, request_id: str) -> None:
        method = scope["method"]
        route = getattr(scope.get("route"), "path", "unknown")
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(took_s)
        if scope["path"] not in UNBOUNDED_PATHS:
            _log.info(
                "answered",
                method=method,
                path=scope["path"],
                status=status,
                took_ms=round(took_s * 1000, 2),
                request_id=request_id,
            )


class InFlightLimit:
    """Answers a bounded number of requests at once; more are told to come back."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, limit: int) -> None:
        self._app = app
        self._metrics = metrics
        self._limit = limit
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNBOUNDED_PATHS:
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._limit:
            detail = f"{self._in_flight} requests are being answered already; try again"
            await send_problem(
                Problem(429, "busy", "The API is busy", detail, retry_after_s=1.0), scope, send
            )
            return
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)


class BodyLimit:
    """Refuses a body over the limit: at once when its length is announced, else at the byte that is too many."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            await send_problem(problem_of(BodyTooLargeError(self._limit)), scope, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._limit:
                    raise BodyTooLargeError(self._limit)
            return message

        await self._app(scope, receive_bounded, send)


async def send_problem(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer with a problem from outside the application."""
    headers: dict[str, Any] = {"content-type": MEDIA_TYPE}
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(int(problem.retry_after_s))
    body = problem_body(problem, scope)
    headers["content-length"] = str(len(body))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
