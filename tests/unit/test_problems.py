"""Every error has its answer, and an answer names what was wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from fastapi import FastAPI

from api.cloudevents import Fault, InvalidBatchError
from api.problems import (
    PROBLEMS,
    BodyTooLargeError,
    add_handlers,
    invalid_value,
    not_found,
    precondition_failed,
    problem_body,
    problem_of,
)
from events.errors import BackpressureError, EventTooLargeError, InvalidEventError, LogUnavailableError
from events.positions import InvalidPositionError, Partition, Position
from events.publisher import PartlyAppendedError
from projections.errors import LaggingError, LiveUnavailableError


@pytest.mark.parametrize(
    "error, status, name",
    [
        (
            InvalidEventError("invalid_value", "must not be negative", field="input_tokens"),
            422,
            "invalid-event",
        ),
        (EventTooLargeError("2 MB"), 413, "too-large"),
        (BackpressureError("full", retry_after_s=0.3), 429, "backpressure"),
        (LogUnavailableError("away"), 503, "log-unavailable"),
        (LiveUnavailableError("away"), 503, "live-unavailable"),
        (PartlyAppendedError([None], "cut"), 503, "partly-appended"),
        (LaggingError("behind", lag={}), 504, "lagging"),
        (InvalidPositionError("no position"), 422, "invalid-value"),
        (BodyTooLargeError(10), 413, "too-large"),
        (not_found("budget", "none"), 404, "not-found"),
        (precondition_failed("changed"), 412, "precondition-failed"),
        (invalid_value("/limit_usd", "must not be negative"), 422, "invalid-value"),
        (RuntimeError("secret of the inside"), 500, "internal"),
    ],
)
def test_an_error_has_one_status_and_one_name(error: Exception, status: int, name: str) -> None:
    """The table is the whole truth; nothing else in the API chooses a code."""
    problem = problem_of(error)
    assert (problem.status, problem.name) == (status, name)


def test_a_defect_tells_nothing_of_the_inside() -> None:
    """A client gets a request id to ask with, not our message."""
    assert b"secret" not in problem_body(
        problem_of(RuntimeError("secret of the inside")), {"path": "/v1/status"}
    )


def test_what_may_be_tried_again_says_when() -> None:
    """Every 429, 503 and 504 has a time to wait."""
    for error in (
        BackpressureError("full", retry_after_s=0.3),
        LogUnavailableError("away"),
        LiveUnavailableError("away"),
        PartlyAppendedError([None], "cut"),
        LaggingError("behind", lag={}),
    ):
        assert problem_of(error).retry_after_s is not None


def test_a_batch_problem_points_at_every_fault() -> None:
    """Index, id, field and JSON pointer, escaped as RFC 6901 says."""
    faults = [Fault(1, ("data", "attributes", "a/b~c"), "too long"), Fault(0, (), "no event")]
    problem = problem_of(InvalidBatchError(faults, {1: "id-1"}, single=False))
    assert problem.extra["errors"] == [
        {"index": 0, "pointer": "/0", "detail": "no event"},
        {
            "index": 1,
            "id": "id-1",
            "field": "a/b~c",
            "pointer": "/1/data/attributes/a~1b~0c",
            "detail": "too long",
        },
    ]
    assert "2 of the events are invalid and nothing was appended" in problem.detail


def test_a_single_event_is_pointed_into_without_an_index() -> None:
    """The pointer leads from the top of the body that was sent."""
    problem = problem_of(InvalidBatchError([Fault(0, ("data", "model"), "is required")], {}, single=True))
    assert problem.extra["errors"] == [{"field": "model", "pointer": "/data/model", "detail": "is required"}]


def test_a_partly_appended_batch_says_which_items_are_on_the_log() -> None:
    """By index and position; sending all again is safe, and it says so."""
    problem = problem_of(PartlyAppendedError([Position("usage", 1, 7), None, Position("usage", 1, 8)], "cut"))
    assert problem.extra["appended"] == [
        {"index": 0, "position": "usage-1:7"},
        {"index": 2, "position": "usage-1:8"},
    ]
    assert "counted twice" in problem.detail


def test_a_lagging_read_says_how_far_behind() -> None:
    """The lag by partition, as names that people read."""
    problem = problem_of(LaggingError("behind", lag={Partition("usage", 3): 12}))
    assert problem.extra["lag"] == {"usage-3": 12}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An application whose one route fails as told."""
    app = FastAPI()
    add_handlers(app, lambda _: "GET, PUT")
    errors = {kind.__name__: kind for kind in PROBLEMS}

    @app.get("/fail/{name}")
    async def fail(name: str, number: int = 0) -> None:
        raise (LogUnavailableError("away") if name == "LogUnavailableError" else errors[name](f"{number}"))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as asking:
        yield asking


async def test_an_answer_is_a_problem_of_rfc_9457(client: httpx.AsyncClient) -> None:
    """Media type, members, and Retry-After as a header."""
    response = await client.get("/fail/LogUnavailableError")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    assert orjson.loads(response.content) == {
        "type": "urn:interlock:problem:log-unavailable",
        "title": "The log is away",
        "status": 503,
        "detail": "away",
        "instance": "/fail/LogUnavailableError",
    }


async def test_a_path_that_is_not_there_is_a_problem_too(client: httpx.AsyncClient) -> None:
    """Also what the framework itself refuses has the one shape."""
    response = await client.get("/nowhere")
    assert (response.status_code, response.json()["type"]) == (404, "urn:interlock:problem:not-found")
    response = await client.post("/fail/x")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, PUT")


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    """By where it stands and what it is called."""
    response = await client.get("/fail/x", params={"number": "many"})
    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert (error["in"], error["pointer"]) == ("query", "number")
