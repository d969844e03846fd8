"""`POST /v1/events`: the way onto the log."""

from __future__ import annotations

import time
from collections import Counter

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.asked import POSITIONS_HEADER
from api.cloudevents import InvalidBatchError, parse_body
from api.ingest import append, read_items, wall_clock_us
from api.openapi import events_body, problems
from api.ports import InPorts
from api.problems import Problem, ProblemError
from api.resources.values import View
from events.positions import format_vector, vector_of

router = APIRouter(prefix="/v1", tags=["events"])

MEDIA_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json", "application/json")


class EventsAppended(View):
    """The log has acknowledged every event."""

    appended: int = Field(description="Events appended.")
    token: str = Field(
        description="The least positions that cover all: give it as at_least to see them.",
        examples=["usage-3:1042"],
    )
    positions: list[str] = Field(
        description="The next offset after each event, in the order of the request.",
        examples=[["usage-3:1042"]],
    )


@router.post(
    "/events",
    status_code=202,
    summary="Append events",
    response_model=EventsAppended,
    responses=problems(400, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": events_body()},
)
async def append_events(request: Request, ports: InPorts) -> Response:
    """One CloudEvent, or a batch of them: all or nothing.

    202 comes only after the log acknowledged every event, with the position of each. When any item is invalid, nothing
    is appended and the problem lists every fault. Repeating a request is harmless: an `id` is counted once.
    """
    _check_media_type(request)
    items, single = parse_body(await request.body())
    limit = ports.settings.api.max_batch_events
    if len(items) > limit:
        detail = f"the batch has {len(items)} events, at most {limit} are taken: send several batches"
        raise ProblemError(Problem(413, "too-large", "The batch is too large", detail))
    traceparent = request.state.traceparent
    try:
        received = read_items(
            items, ports.settings.log, wall_clock_us(), single=single, traceparent=traceparent
        )
    except InvalidBatchError as error:
        ports.metrics.refused.inc(len({fault.index for fault in error.faults}))
        raise
    started = time.perf_counter()
    appended = await append(ports.log.publisher, received)
    ports.metrics.append_seconds.observe(time.perf_counter() - started)
    for name, count in Counter(one.topic.event.__name__ for one in received).items():
        ports.metrics.appended.labels(name).inc(count)
    token = format_vector(vector_of(appended.positions))
    answer = EventsAppended(
        appended=len(received), token=token, positions=[str(one) for one in appended.positions]
    )
    return Response(answer.model_dump_json(), 202, {POSITIONS_HEADER: token}, media_type="application/json")


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if given not in MEDIA_TYPES:
        raise _unsupported(f"{given} is not read here: send {', '.join(MEDIA_TYPES)}")
    if "ce-specversion" in request.headers:
        raise _unsupported("CloudEvents in binary mode are not read here: send structured JSON")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise _unsupported("compressed bodies are not read here: send identity")


def _unsupported(detail: str) -> ProblemError:
    return ProblemError(
        Problem(415, "unsupported-media-type", "The body's media type is not read here", detail)
    )
