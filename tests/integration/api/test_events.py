"""POST /v1/events: acknowledged by the log, or refused with the reason."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from events.broker import create_topics
from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.positions import parse_vector
from events.reader import LogReader, LogRecord, Range
from events.registry import FolderRegistry
from tests.cloud_events import health_check, routing, usage
from tests.integration.api.world import World, api_alone, new_name, settings_of
from tests.integration.live_server import LiveServer

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def record_before(world: World, position: str) -> tuple[LogRecord, Event]:
    """The record that an answered position lies just behind."""
    [(partition, offset)] = parse_vector(position).items()
    wanted = {partition.number: Range(offset - 1, offset)}
    async for _, records in LogReader(world.settings.log).read(partition.topic, wanted):
        [record] = records
        return record, Codec(FolderRegistry()).decode(TOPICS[partition.topic], record.value)
    raise AssertionError(f"nothing lies before {position}")


async def log_size(world: World, topic: str = "usage") -> int:
    return sum((await LogReader(world.settings.log).ends(topic)).values())


async def test_a_202_comes_with_the_position_of_each_event(world: World) -> None:
    """What the answer points at is the event, on the log, with its trace context."""
    tenant = new_name("tenant")
    item = usage(tenant, team="search")
    response = await world.http.post("/v1/events", json=item, headers={"traceparent": TRACEPARENT})
    answer = response.json()
    assert response.status_code == 202
    assert (answer["appended"], answer["positions"]) == (1, [answer["token"]])
    assert response.headers["interlock-positions"] == answer["token"]
    record, event = await record_before(world, answer["token"])
    assert (event.event_id, event.tenant, record.key) == (item["id"], tenant, tenant.encode())
    assert dict(record.headers)["traceparent"] == TRACEPARENT.encode()


async def test_a_batch_of_all_types_goes_to_their_topics(world: World) -> None:
    """In the order of the request within each partition; the token covers all."""
    tenant, provider = new_name("tenant"), new_name("provider")
    items = [usage(tenant), health_check(provider), routing(tenant), usage(tenant)]
    response = await world.send(*items)
    answer = response.json()
    assert [position.partition("-")[0] for position in answer["positions"]] == [
        "usage",
        "health",
        "routing",
        "usage",
    ]
    token = parse_vector(answer["token"])
    for item, position in zip(items, answer["positions"], strict=True):
        _, event = await record_before(world, position)
        assert event.event_id == item["id"]
        [(partition, offset)] = parse_vector(position).items()
        assert token[partition] >= offset


async def test_a_batch_with_one_invalid_item_appends_nothing(world: World) -> None:
    """All or nothing: every fault is listed with its index, and the log is as it was."""
    before = await log_size(world)
    response = await world.send(usage(), usage(input_tokens=-1), usage() | {"time": "x"})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert [(error["index"], error["pointer"]) for error in problem["errors"]] == [
        (1, "/1/data/input_tokens"),
        (2, "/2/time"),
    ]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert await log_size(world) == before


@pytest.mark.any_broker
async def test_an_empty_batch_is_accepted_and_appends_nothing(world: World) -> None:
    """A producer with nothing to say makes no error."""
    response = await world.http.post("/v1/events", json=[])
    assert (response.status_code, response.json()) == (202, {"appended": 0, "token": "", "positions": []})


@pytest.mark.any_broker
@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/cloudevents+json; charset=utf-8", "application/cloudevents-batch+json"],
)
async def test_every_json_media_type_of_cloudevents_is_read(media_type: str, world: World) -> None:
    """Structured mode, batched mode, and plain JSON."""
    body = orjson.dumps([usage(new_name("tenant"))])
    response = await world.http.post("/v1/events", content=body, headers={"content-type": media_type})
    assert response.status_code == 202


@pytest.mark.any_broker
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json", "ce-specversion": "1.0"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_what_is_not_read_here_is_415(headers: dict[str, str], world: World) -> None:
    """Other media types, binary mode and compressed bodies are told so."""
    response = await world.http.post("/v1/events", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["type"]) == (
        415,
        "urn:interlock:problem:unsupported-media-type",
    )


@pytest.mark.any_broker
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"NaN", b'["\xff"]'])
async def test_a_broken_body_is_400(body: bytes, world: World) -> None:
    """JSON that cannot be parsed is told apart from events that are invalid."""
    response = await world.http.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["type"]) == (400, "urn:interlock:problem:malformed-body")


@pytest.mark.any_broker
async def test_a_body_over_the_limit_is_413_before_it_is_read(world: World) -> None:
    """By its announced length, and by its bytes when none was announced; the API goes on."""
    limit = world.settings.api.max_body_bytes
    announced = await world.http.post("/v1/events", content=b"x" * (limit + 1))
    assert (announced.status_code, announced.json()["type"]) == (413, "urn:interlock:problem:too-large")

    async def endless() -> Any:
        for _ in range(limit // 65_536 + 2):
            yield b"x" * 65_536

    try:
        streamed = await world.http.post("/v1/events", content=endless())
    except httpx.WriteError:
        # The server has answered and closed while the body was still being sent.
        pass
    else:
        assert streamed.status_code == 413
    assert (await world.http.get("/health/liveness")).status_code == 200


@pytest.mark.any_broker
async def test_one_event_over_the_limit_of_events_is_413(log_address: str, api_live: LiveServer) -> None:
    """The body may be within its limit and an event in it not within its own."""
    settings = settings_of(log_address, api_live)
    small_events = settings.log.model_copy(update={"max_event_bytes": 64 * 1024})
    candidate = {"deployment": "d" * 256, "breaker_state": "s" * 256, "verdict": "v" * 256}
    async with api_alone(settings.model_copy(update={"log": small_events})) as small:
        response = await small.send(routing(), routing(candidates=[candidate] * 100))
    assert (response.status_code, response.json()["type"]) == (413, "urn:interlock:problem:too-large")


@pytest.mark.any_broker
async def test_a_batch_of_too_many_events_is_413(log_address: str, api_live: LiveServer) -> None:
    """The bound is on events as well as on bytes."""
    async with api_alone(settings_of(log_address, api_live, max_batch_events=2)) as small:
        response = await small.send(usage(), usage(), usage())
    assert response.status_code == 413
    assert "at most 2" in response.json()["detail"]


async def test_too_many_requests_at_once_are_429(log_address: str, api_live: LiveServer) -> None:
    """The rest is answered, and health is answered always."""
    settings = settings_of(log_address, api_live, max_in_flight_requests=1)
    await create_topics(settings.log)
    async with api_alone(settings) as narrow:
        answers = await asyncio.gather(*(narrow.send(usage()) for _ in range(20)))
        health = await narrow.http.get("/health/liveness")
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {202, 429}
    assert health.status_code == 200
    busy = answers[codes.index(429)]
    assert (busy.headers["retry-after"], busy.json()["type"]) == ("1", "urn:interlock:problem:busy")


async def test_the_same_event_twice_is_counted_once(world: World) -> None:
    """A retry of a whole batch is harmless."""
    tenant = new_name("tenant")
    items = [usage(tenant, cost_usd="0.25") for _ in range(4)]
    await world.sent(*items)
    token = await world.sent(*items)
    spend = await world.read(f"/v1/spend/{tenant}", token)
    assert (spend["total"]["cost_usd"], spend["total"]["calls"]) == ("1", 4)
