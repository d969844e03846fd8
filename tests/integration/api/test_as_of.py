"""How things stood at an instant, from the history, is what the live state said then."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.rfc3339 import format_time_us, parse_time_us
from embedded.postgres import PostgresServer
from events.positions import Partition
from events.reader import LogReader, Range
from tests.cloud_events import usage
from tests.integration.api.history_place import HistoryPlace, history_place
from tests.integration.api.world import World, api_alone, new_name

pytestmark = pytest.mark.any_broker

FOLDED = ("usage", "outcomes", "breakers", "providers", "budgets", "overrides")
MOVING = {"at", "window", "epoch"}
"""What differs by the instant that a view is for; the window is live only."""


def now() -> str:
    """By this machine's clock, a little after all that was appended."""
    return format_time_us(time.time_ns() // 1000)


@asynccontextmanager
async def remembering(world: World, postgres: PostgresServer) -> AsyncIterator[World]:
    """The same world with a history that holds all that is on the log now."""
    await world.until_published()
    async with history_place(postgres, world.settings.log) as place:
        for topic in FOLDED:
            await copy(world, place, topic)
        settings = world.settings.model_copy(update={"history": place.settings})
        async with api_alone(settings) as found:
            yield found


async def copy(world: World, place: HistoryPlace, topic: str) -> None:
    """Write a topic of the log to the history."""
    reader = LogReader(world.settings.log)
    for number, held in (await reader.ranges(topic)).items():
        partition = Partition(topic, number)
        start = await place.sink.open(partition)
        async for _, records in reader.read(topic, {number: Range(max(start, held.start), held.end)}):
            start = await place.sink.write(partition, start, records)


async def breakers(world: World, provider: str, **query: str) -> dict[str, dict[str, Any]]:
    """The breakers of a provider without what differs by the instant."""
    found = (await world.read("/v1/breakers", provider=provider, **query))["breakers"]
    return {one["deployment"]: {key: one[key] for key in one.keys() - MOVING} for one in found}


async def test_breakers_as_of_now_are_the_live_ones(world: World, postgres: PostgresServer) -> None:
    """Tripped, gated by a 429, gated by a refused credential, forced, and untouched: all equal the live fold."""
    provider, tenant = new_name("provider"), new_name("tenant")
    policy = {"breaker_policy": {"consecutive_failures": 3}, "actor": "ann"}
    await world.read(f"/v1/providers/{provider}", await world.put(f"/v1/providers/{provider}", policy))
    await world.sent(
        *(
            usage(tenant, outcome="TIMEOUT", provider=provider, model="tripped", region="eu")
            for _ in range(3)
        ),
        usage(tenant, outcome="RATE_LIMITED", provider=provider, model="limited", retry_after_ms=120_000),
        usage(tenant, outcome="UNAUTHORIZED", provider=provider, model="refused"),
        usage(tenant, outcome="UNAUTHORIZED", provider=provider, model="renewed"),
        usage(tenant, provider=provider, model="fine"),
    )
    await world.sent(usage(tenant, provider=provider, model="renewed"))
    await world.put(
        f"/v1/breakers/{provider}/forced@us/override",
        {"mode": "FORCED_OPEN", "actor": "ann", "reason": "drill"},
    )
    live = await breakers(world, provider, consistency="strong")
    assert {name.partition("/")[2] for name in live} >= {
        "tripped@eu",
        "limited",
        "refused",
        "renewed",
        "fine",
    }
    assert live[f"{provider}/tripped@eu"]["state"] == "OPEN"
    assert live[f"{provider}/limited"]["gates"]["rate_limited_until"] is not None
    assert live[f"{provider}/refused"]["gates"]["credential_refused_as"] == "UNAUTHORIZED"
    async with remembering(world, postgres) as found:
        as_of = now()
        assert await breakers(found, provider, as_of=as_of) == live
        one = await found.read(f"/v1/breakers/{provider}/tripped@eu", as_of=as_of)
        assert (one["state"], one["cause"], one["window"]) == ("OPEN", "CONSECUTIVE_FAILURES", None)
        missing = await found.http.get(f"/v1/breakers/{provider}/unheard", params={"as_of": as_of})
        assert missing.status_code == 404


async def test_a_breaker_is_shown_as_it_was_before_and_after_it_moved(
    world: World, postgres: PostgresServer
) -> None:
    """One microsecond before the transition it was closed, at its time it was open, and when that time is over half open."""
    provider, tenant = new_name("provider"), new_name("tenant")
    token = await world.sent(usage(tenant, provider=provider))
    await world.read(f"/v1/breakers/{provider}/gpt-4o", token)
    token = await world.sent(*(usage(tenant, outcome="TIMEOUT", provider=provider) for _ in range(5)))
    live = await world.read(f"/v1/breakers/{provider}/gpt-4o", token)
    async with remembering(world, postgres) as found:
        history = await found.read(f"/v1/breakers/{provider}/gpt-4o/history")
        [opened] = history["items"]
        assert (opened["occurred_at"], opened["reason"]) == (live["since"], live["reason"])
        at = await found.read(f"/v1/breakers/{provider}/gpt-4o", as_of=opened["occurred_at"])
        assert (at["state"], at["reason"], at["open_until"]) == ("OPEN", live["reason"], live["open_until"])
        before = await found.read(f"/v1/breakers/{provider}/gpt-4o", as_of=just_before(opened["occurred_at"]))
        assert (before["state"], before["version"]) == ("CLOSED", 0)


def just_before(time_text: str) -> str:
    """A microsecond earlier."""
    return format_time_us(parse_time_us(time_text) - 1)


async def test_a_budget_is_shown_as_it_stood_then(world: World, postgres: PostgresServer) -> None:
    """With the limit of that time and what was spent by then; now it equals the live state."""
    tenant = new_name("tenant")
    path = f"/v1/budgets/{tenant}/search"
    budget = {"level": "TEAM", "subject": "search"}
    limited = await world.put(path, budget | {"limit_usd": "1"})
    spent = await world.sent(
        usage(tenant, team="search", cost_usd="0.25"),
        usage(tenant, team="ads", cost_usd="5"),
        usage(tenant, team="search", model="unpriced", cost_nano_usd=None),
    )
    early = await world.read(path, f"{limited},{spent}")
    then = now()
    limited = await world.put(path, budget | {"limit_usd": "2"})
    spent = await world.sent(usage(tenant, team="search", cost_usd="0.5"))
    live = await world.read(path, f"{limited},{spent}")
    assert (early["spent_usd"], live["spent_usd"]) == ("0.25", "0.75")
    async with remembering(world, postgres) as found:
        for as_of, expected in ((then, early), (now(), live)):
            told = await found.read(path, as_of=as_of)
            assert {key: told[key] for key in told.keys() - {"at"}} == {
                key: expected[key] for key in expected.keys() - {"at"}
            }
            assert (await found.read(f"/v1/budgets/{tenant}", as_of=as_of))["budgets"] == [told]
        listed = (await found.read("/v1/budgets", as_of=now(), limit=1000))["budgets"]
        assert (tenant, "search") in {(one["tenant"], one["budget_id"]) for one in listed}
        long_ago = {"as_of": "2020-01-01T00:00:00Z"}
        assert (await found.http.get(path, params=long_ago)).status_code == 404


async def test_as_of_is_refused_for_the_future_and_with_freshness(world: World) -> None:
    """Both name the parameter."""
    for query in (
        {"as_of": "2999-01-01T00:00:00Z"},
        {"as_of": "2026-03-01T00:00:00Z", "consistency": "strong"},
        {"as_of": "2026-03-01T00:00:00Z", "generation": "1"},
    ):
        for path in ("/v1/breakers", "/v1/breakers/a/b", "/v1/budgets", "/v1/budgets/a", "/v1/budgets/a/b"):
            response = await world.http.get(path, params=query)
            assert response.status_code == 422
            assert response.json()["errors"][0]["pointer"] == "as_of"
