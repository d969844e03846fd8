"""The history as the API lists it: pages, filters, cursors, and how far it is."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from api.rfc3339 import format_time_us
from embedded.postgres import PostgresServer
from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from events.money import format_usd
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.usage_recorded import UsageRecorded
from tests.integration.api.history_place import history_place
from tests.integration.api.told import HOUR_US, START_US, WHOLE, Told, at, some_calls, transition
from tests.integration.api.world import World, api_alone, hasty


async def every_page(world: World, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a listing, page by page."""
    found: list[dict[str, Any]] = []
    page = await world.read(path, **query)
    while True:
        found += page["items"]
        if page["next"] is None:
            return found
        page = await world.read(path, **query, cursor=page["next"])


async def test_pages_hold_every_call_once_in_order(told: Told) -> None:
    """Whatever the size of a page, newest or oldest first."""
    expected = [
        call.event_id for call in sorted(told.calls, key=lambda call: (call.occurred_at, call.event_id))
    ]
    oldest = await every_page(told.world, "/v1/history/usage", limit=700, order="oldest", **WHOLE)
    assert [item["event_id"] for item in oldest] == expected
    newest = await every_page(told.world, "/v1/history/usage", limit=1000, **WHOLE)
    assert [item["event_id"] for item in newest] == expected[::-1]


async def test_a_call_comes_back_as_it_was_sent(told: Told) -> None:
    """With money as a decimal string, and the place where it lies on the log."""
    call = next(call for call in told.calls if call.cost_nano_usd)
    [item] = (await told.world.read("/v1/history/usage", request_id=call.request_id, **WHOLE))["items"]
    assert item["event_id"] == call.event_id
    assert item["cost_usd"] == format_usd(call.cost_nano_usd or 0)
    assert item["occurred_at"] == format_time_us(call.occurred_at)
    assert (item["partition"], item["offset"]) == ("usage-0", told.calls.index(call))
    assert (item["user"], item["latency_ms"], item["outcome"]) == (call.user, call.latency_ms, call.outcome)


async def test_filters_narrow_a_listing(told: Told) -> None:
    """Every one given must hold."""
    found = await every_page(
        told.world, "/v1/history/usage", tenant="acme", team="ads", outcome="TIMEOUT", limit=1000, **WHOLE
    )
    expected = {
        call.event_id
        for call in told.calls
        if (call.tenant, call.team, call.outcome) == ("acme", "ads", OutcomeKind.TIMEOUT)
    }
    assert {item["event_id"] for item in found} == expected
    assert expected


async def test_pages_stay_whole_while_rows_come_in(postgres: PostgresServer, told: Told) -> None:
    """What was there at the first page is on exactly one page, although others arrive before, between and after."""
    async with history_place(postgres) as place:
        there = some_calls(200)
        await place.add(*there)
        settings = told.world.settings.model_copy(update={"history": place.settings})
        async with api_alone(settings) as world:
            seen: list[str] = []
            page = await world.read("/v1/history/usage", limit=30, **WHOLE)
            random = Random(9)
            while True:
                seen += [item["event_id"] for item in page["items"]]
                if page["next"] is None:
                    break
                await place.add(
                    *(
                        UsageRecorded(
                            **at(START_US + random.randrange(3 * HOUR_US)),
                            tenant="late",
                            request_id="late",
                            provider="openai",
                            model="gpt-4o",
                            outcome=OutcomeKind.SUCCESS,
                        )
                        for _ in range(20)
                    )
                )
                page = await world.read("/v1/history/usage", limit=30, cursor=page["next"])
    assert len(seen) == len(set(seen))
    assert {call.event_id for call in there} <= set(seen)


async def test_checks_transitions_and_alerts_are_listed(told: Told) -> None:
    """Each with its own filters."""
    await told.place.add(
        checked(START_US, HealthStatus.HEALTHY),
        checked(START_US + 1, HealthStatus.UNHEALTHY),
        transition(1, START_US, BreakerState.CLOSED, BreakerState.OPEN),
        alert(START_US),
    )
    [sick] = (await told.world.read("/v1/history/health", status="UNHEALTHY", **WHOLE))["items"]
    assert (sick["provider"], sick["model"], sick["latency_ms"]) == ("openai", None, 12.5)
    [opened] = (await told.world.read("/v1/history/breakers", state="OPEN", **WHOLE))["items"]
    assert (opened["deployment"], opened["cause"]) == ("anthropic/claude@eu", "FAILURE_RATE")
    own = await told.world.read("/v1/breakers/anthropic/claude@eu/history", **WHOLE)
    assert own["items"] == [opened]
    assert (await told.world.read("/v1/breakers/anthropic/claude/history", **WHOLE))["items"] == []
    [raised] = (await told.world.read("/v1/history/alerts", severity="WARNING", **WHOLE))["items"]
    assert (raised["limit_usd"], raised["threshold_percent"]) == ("2", 80)


def checked(at_us: int, status: HealthStatus) -> ProviderHealthChecked:
    return ProviderHealthChecked(**at(at_us), tenant="", provider="openai", status=status, latency_ms=12.5)


def alert(at_us: int) -> AlertRaised:
    return AlertRaised(
        **at(at_us),
        tenant="acme",
        kind=AlertKind.BUDGET_THRESHOLD,
        severity=AlertSeverity.WARNING,
        subject="monthly",
        title="80% of monthly is spent",
        threshold_percent=80,
        value_nano_usd=1_600_000_000,
        limit_nano_usd=2_000_000_000,
    )


@pytest.mark.parametrize(
    "path, query, pointer",
    [
        ("usage", {"from": "yesterday"}, "from"),
        ("usage", {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "to"),
        ("usage", {"cursor": "bm9uZQ"}, "cursor"),
        ("usage", {"limit": "0"}, "limit"),
        ("usage", {"outcome": "FINE"}, "outcome"),
        ("usage/series", {"window": "week"}, "window"),
        ("usage/series", {"window": "minute", "from": "2026-01-01T00:00:00Z"}, "window"),
        ("usage/trends", {"from": "2020-01-01T00:00:00Z"}, "from"),
        ("usage/cost", {"by": "price"}, "0"),
    ],
)
async def test_a_wrong_value_is_named(told: Told, path: str, query: dict[str, str], pointer: str) -> None:
    """As a problem with the parameter's name."""
    response = await told.world.http.get(f"/v1/history/{path}", params=query)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in response.json()["errors"]]


async def test_a_cursor_goes_with_its_question(told: Told) -> None:
    """Other filters, another order or another range are refused."""
    page = await told.world.read("/v1/history/usage", limit=1, tenant="acme", **WHOLE)
    for more in (
        {"tenant": "globex"},
        {"tenant": "acme", "order": "oldest"},
        {"tenant": "acme", "to": WHOLE["from"]},
    ):
        response = await told.world.http.get(
            "/v1/history/usage", params={"cursor": page["next"], "limit": 1} | more
        )
        assert response.status_code == 422, more


async def test_a_read_says_how_far_the_history_is_and_waits_for_more(told: Told) -> None:
    """What `at_least` names is in the answer; what does not come in time is 504 with the lag."""
    page = await told.world.http.get("/v1/history/usage", params={"at_least": "usage-0:3000", "limit": 1})
    end = int(page.headers["interlock-positions"].removeprefix("usage-0:"))
    assert end >= len(told.calls)
    waiting = asyncio.create_task(
        told.world.http.get("/v1/history/usage", params={"at_least": f"usage-0:{end + 1}"})
    )
    await told.place.add(
        UsageRecorded(
            **at(START_US - 48 * HOUR_US),
            tenant="awaited",
            request_id="awaited",
            provider="openai",
            model="gpt-4o",
            outcome=OutcomeKind.SUCCESS,
        )
    )
    assert (await waiting).headers["interlock-positions"] == f"usage-0:{end + 1}"
    async with hasty(told.world) as impatient:
        late = await impatient.http.get("/v1/history/usage/cost", params={"at_least": f"usage-0:{end + 9}"})
    assert (late.status_code, late.json()["lag"]) == (504, {"usage-0": 8})
