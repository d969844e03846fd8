"""The history as the API answers it: pages, filters, sums over time, and how it was at an instant."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from api.rfc3339 import format_time_us
from embedded.postgres import PostgresServer
from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import FAILURES, OutcomeKind
from events.ids import uuid7
from events.money import format_usd
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.routing_decided import Candidate, RoutingDecided
from events.usage_recorded import UsageRecorded
from projections.history.sketch import RELATIVE_ERROR
from tests.integration.api.history_place import HistoryPlace, history_place
from tests.integration.api.world import World, api_alone, settings_of
from tests.integration.live_server import LiveServer

START_US = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Told:
    """A filled history, and the API that reads it."""

    place: HistoryPlace
    world: World
    calls: list[UsageRecorded]


@pytest.fixture(scope="session")
async def told(
    history_postgres: PostgresServer, log_address: str, api_live: LiveServer
) -> AsyncIterator[Told]:
    """A history with calls of three hours and a little of all else."""
    calls = some_calls(3_000)
    async with history_place(history_postgres) as place:
        for start in range(0, len(calls), 500):
            await place.add(*calls[start : start + 500])
        settings = settings_of(log_address, api_live).model_copy(update={"history": place.settings})
        async with api_alone(settings) as world:
            yield Told(place, world, calls)


def at(time_us: int) -> dict[str, Any]:
    """An envelope."""
    return {
        "event_id": uuid7(time_us, Random(time_us).randbytes(10)),
        "occurred_at": time_us,
        "source": "test",
    }


def some_calls(count: int) -> list[UsageRecorded]:
    """Calls of three hours, in no order of their times, one in ten without a price."""
    random = Random(5)
    kinds = [OutcomeKind.SUCCESS] * 8 + [OutcomeKind.TIMEOUT, OutcomeKind.RATE_LIMITED]
    return [
        UsageRecorded(
            **at(START_US + random.randrange(3 * HOUR_US)),
            tenant=random.choice(("acme", "globex")),
            request_id=f"r-{number}",
            provider=(provider := random.choice(("openai", "mistral"))),
            model=f"{provider}-{random.randrange(2)}",
            region=random.choice((None, "eu")),
            team=random.choice((None, "search", "ads")),
            user=random.choice((None, "ann", "bob")),
            outcome=random.choice(kinds),
            input_tokens=random.randrange(4000),
            output_tokens=random.randrange(400),
            latency_ms=int(random.lognormvariate(7, 1)),
            cost_nano_usd=None if random.random() < 0.1 else random.randrange(10**9),
        )
        for number in range(count)
    ]


async def every_page(world: World, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a listing, page by page."""
    found: list[dict[str, Any]] = []
    page = await world.read(path, **query)
    while True:
        found += page["items"]
        if page["next"] is None:
            return found
        page = await world.read(path, **query, cursor=page["next"])


WHOLE = {"from": format_time_us(START_US), "to": format_time_us(START_US + 3 * HOUR_US)}


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


async def test_pages_stay_whole_while_rows_come_in(history_postgres: PostgresServer, told: Told) -> None:
    """What was there at the first page is on exactly one page, although others arrive before, between and after."""
    async with history_place(history_postgres) as place:
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


@pytest.mark.parametrize(
    "window, length_us", [("minute", MINUTE_US), ("hour", HOUR_US), ("day", 24 * HOUR_US)]
)
@pytest.mark.parametrize("by", [[], ["provider"], ["tenant", "region"], ["team"], ["outcome", "user"]])
async def test_a_series_is_the_sum_over_its_calls(
    told: Told, window: str, length_us: int, by: list[str]
) -> None:
    """In every window and group, from rollups as well as call by call; percentiles within the sketch's error."""
    answer = await told.world.read("/v1/history/usage/series", window=window, by=by, **WHOLE)
    groups: dict[tuple[Any, ...], list[UsageRecorded]] = {}
    for call in told.calls:
        start_us = call.occurred_at // length_us * length_us
        key = (format_time_us(start_us), *(getattr(call, name) for name in by))
        groups.setdefault(key, []).append(call)
    found = {
        (point["at"], *one["group"].values()): point for one in answer["series"] for point in one["points"]
    }
    assert found.keys() == groups.keys()
    for key, calls in groups.items():
        compare(found[key], calls)


def compare(point: dict[str, Any], calls: list[UsageRecorded]) -> None:
    """A point against the calls that it sums."""
    assert point["calls"] == len(calls)
    assert point["outcomes"] == Counter(call.outcome for call in calls)
    assert point["failures"] == sum(call.outcome in FAILURES for call in calls)
    assert point["input_tokens"] == sum(call.input_tokens for call in calls)
    assert point["output_tokens"] == sum(call.output_tokens for call in calls)
    assert point["cost_usd"] == format_usd(sum(call.cost_nano_usd or 0 for call in calls))
    assert point["unpriced_calls"] == sum(call.cost_nano_usd is None for call in calls)
    ordered = sorted(call.latency_ms for call in calls)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        exact = ordered[max(1, math.ceil(share * len(ordered))) - 1]
        assert point["latency_ms"][name] == pytest.approx(exact, rel=RELATIVE_ERROR * 1.01, abs=0.06)


@pytest.mark.parametrize("by", [["provider", "model"], ["user"], ["team", "tenant"], ["key"]])
async def test_cost_is_exact_for_any_range_and_dimension(told: Told, by: list[str]) -> None:
    """Also where the range begins and ends within a minute."""
    start_us, end_us = START_US + 17 * MINUTE_US + 123_457, START_US + 2 * HOUR_US + 1_000_001
    answer = await told.world.read(
        "/v1/history/usage/cost", by=by, **{"from": format_time_us(start_us), "to": format_time_us(end_us)}
    )
    costs: Counter[tuple[Any, ...]] = Counter()
    for call in told.calls:
        if start_us <= call.occurred_at < end_us:
            key = tuple(call.api_key if name == "key" else getattr(call, name) for name in by)
            costs[key] += call.cost_nano_usd or 0
    assert {tuple(one["group"].values()): one["cost_usd"] for one in answer["groups"]} == {
        key: format_usd(cost) for key, cost in costs.items()
    }
    assert answer["total"]["cost_usd"] == format_usd(sum(costs.values()))
    assert sum(one["share"] for one in answer["groups"]) == pytest.approx(1)


async def test_top_ranks_the_largest_and_counts_the_rest(told: Told) -> None:
    """By the measure that is asked for."""
    answer = await told.world.read("/v1/history/usage/top", measure="calls", by="model", limit=2, **WHOLE)
    counts = Counter(call.model for call in told.calls).most_common()
    assert [(one["group"]["model"], one["calls"]) for one in answer["groups"]] == counts[:2]
    assert (answer["unlisted"], answer["total"]["calls"]) == (len(counts) - 2, len(told.calls))


async def test_trends_compare_with_the_time_before(told: Told) -> None:
    """Of the last two of three hours, the hour before them is half a range; hours of the day are told apart."""
    span = {"from": format_time_us(START_US + HOUR_US), "to": format_time_us(START_US + 3 * HOUR_US)}
    answer = await told.world.read("/v1/history/usage/trends", tenant="acme", **span)
    calls = [call for call in told.calls if call.tenant == "acme"]
    now = [call for call in calls if call.occurred_at >= START_US + HOUR_US]
    compare(answer["total"], now)
    compare(answer["before"], [call for call in calls if call.occurred_at < START_US + HOUR_US])
    assert answer["change"]["calls"] == pytest.approx(len(now) / (len(calls) - len(now)) - 1, abs=1e-4)
    assert [point["at"] for point in answer["hours"]] == [
        format_time_us(START_US + HOUR_US),
        format_time_us(START_US + 2 * HOUR_US),
    ]
    assert [one["hour"] for one in answer["hours_of_day"] if one["calls"]] == [13, 14]


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


async def test_a_decision_is_explained_with_what_was_known_then(told: Told) -> None:
    """The breakers as they stood at its instant, not as they became, and the calls that followed."""
    opened_us = START_US + HOUR_US
    await told.place.add(
        transition(1, opened_us, BreakerState.CLOSED, BreakerState.OPEN, provider="deciding"),
        transition(2, opened_us + 60_000_000, BreakerState.OPEN, BreakerState.CLOSED, provider="deciding"),
        RoutingDecided(
            **at(opened_us + 1_000_000),
            tenant="decider",
            request_id="why/this one",
            provider="openai",
            model="gpt-4o",
            strategy="priority",
            candidates=(
                Candidate(deployment="deciding/claude@eu", breaker_state="OPEN", verdict="breaker_open"),
                Candidate(deployment="openai/gpt-4o", breaker_state="CLOSED", verdict="chosen"),
            ),
            estimated_cost_nano_usd=1_500_000_000,
        ),
        UsageRecorded(
            **at(opened_us + 2_000_000),
            tenant="decider",
            request_id="why/this one",
            provider="openai",
            model="gpt-4o",
            outcome=OutcomeKind.SUCCESS,
        ),
    )
    answer = await told.world.read("/v1/decisions/why/this one", tenant="decider")
    [attempt] = answer["attempts"]
    assert (attempt["chosen"], attempt["decision"]["estimated_cost_usd"]) == ("openai/gpt-4o", "1.5")
    passed_over, chosen = attempt["considered"]
    assert (passed_over["verdict"], passed_over["breaker"]["state"]) == ("breaker_open", "OPEN")
    assert passed_over["breaker"]["version"] == 1
    assert (chosen["verdict"], chosen["breaker"]) == ("chosen", None)
    assert [call["outcome"] for call in answer["calls"]] == ["SUCCESS"]
    assert (await told.world.http.get("/v1/decisions/nobody-asked")).status_code == 404


def checked(at_us: int, status: HealthStatus) -> ProviderHealthChecked:
    return ProviderHealthChecked(**at(at_us), tenant="", provider="openai", status=status, latency_ms=12.5)


def transition(
    version: int, at_us: int, before: BreakerState, after: BreakerState, provider: str = "anthropic"
) -> BreakerTransitioned:
    return BreakerTransitioned(
        **at(at_us),
        tenant="",
        provider=provider,
        model="claude",
        region="eu",
        version=version,
        from_state=before,
        to_state=after,
        cause=TransitionCause.FAILURE_RATE,
        reason="because",
        epoch=version,
        trips=1,
        open_until=at_us + 30_000_000 if after is BreakerState.OPEN else None,
        outcomes_offset=0,
    )


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
            **at(START_US - HOUR_US),
            tenant="awaited",
            request_id="awaited",
            provider="openai",
            model="gpt-4o",
            outcome=OutcomeKind.SUCCESS,
        )
    )
    assert (await waiting).headers["interlock-positions"] == f"usage-0:{end + 1}"
    live = told.world.settings.live.model_copy(update={"consistency_timeout_s": 0.2})
    async with api_alone(told.world.settings.model_copy(update={"live": live})) as hasty:
        late = await hasty.http.get("/v1/history/usage/cost", params={"at_least": f"usage-0:{end + 9}"})
    assert (late.status_code, late.json()["lag"]) == (504, {"usage-0": 8})


async def run(world: World, *arguments: str) -> str:
    """What `interlock history ...` prints, asked of this API."""
    argv = ["-m", "api.cli", "history", *arguments, "--api", str(world.http.base_url)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_command_line_shows_what_the_api_answers(told: Told) -> None:
    """Tables for people, the API's JSON for programs."""
    span = ("--from", WHOLE["from"], "--to", WHOLE["to"])
    listed = await run(told.world, "usage", "--tenant", "acme", "--limit", "5", *span)
    assert "acme" in listed
    assert "--cursor" in listed
    series = json.loads(await run(told.world, "series", "--by", "tenant", "--by", "model", "--json", *span))
    assert series["by"] == ["tenant", "model"]
    assert "p95 ms" in await run(told.world, "series", "--by", "provider", *span)
    assert "globex" in await run(told.world, "top", "--by", "tenant", "--measure", "calls", *span)
    assert "openai-1" in await run(told.world, "cost", *span)
    assert "hour, UTC" in await run(told.world, "trends", "--tenant", "acme", *span)
    call = told.calls[0]
    assert call.outcome in await run(told.world, "decision", call.request_id)
