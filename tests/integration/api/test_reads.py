"""What can be read after something was written, and how fresh it is."""

from __future__ import annotations

from typing import Any

import pytest

from events.positions import parse_vector
from tests.cloud_events import health_check, routing, usage
from tests.integration.api.world import World, hasty, new_name
from tests.integration.live_server import eventually

FAILURE = "SERVER_ERROR"


async def tripped(world: World, provider: str, **data: Any) -> str:
    """Five failures of a deployment in a row; the token of the last."""
    tenant = new_name("tenant")
    return await world.sent(
        *(usage(tenant, outcome=FAILURE, provider=provider, error="overheated", **data) for _ in range(5))
    )


async def test_five_failures_open_a_breaker_with_its_reason(world: World) -> None:
    """A read after the token of the failures shows the breaker open: why, since when, until when."""
    provider = new_name("provider")
    token = await tripped(world, provider, model="gpt-4o", region="eu")
    one = await world.read(f"/v1/breakers/{provider}/gpt-4o@eu", token)
    assert (one["state"], one["admits"], one["cause"]) == ("OPEN", False, "CONSECUTIVE_FAILURES")
    assert "5 failures in a row" in one["reason"]
    assert one["counts"]["consecutive_failures"] == 5
    assert one["since"] < one["open_until"]
    assert one["window"]["total_failures"] == 5
    listed = await world.read("/v1/breakers", token, provider=provider, state="OPEN")
    assert [breaker["deployment"] for breaker in listed["breakers"]] == [f"{provider}/gpt-4o@eu"]
    assert (await world.read("/v1/breakers", token, provider=provider, state="CLOSED"))["breakers"] == []


@pytest.mark.any_broker
async def test_a_generation_is_read_by_its_number(world: World) -> None:
    """Breakers, budgets, providers and the status of the one that is live by its number; 404 for one that is not there."""
    provider = new_name("provider")
    token = await tripped(world, provider)
    live = await world.read(f"/v1/breakers/{provider}/gpt-4o", token)
    named = await world.read(f"/v1/breakers/{provider}/gpt-4o", token, generation="1")
    assert {**named, "at": ""} == {**live, "at": ""}
    health = await world.read(f"/v1/providers/{provider}/health", generation="1")
    assert [one["deployment"] for one in health["deployments"]] == [f"{provider}/gpt-4o"]
    for path in ("/v1/breakers", "/v1/budgets", "/v1/providers", "/v1/status"):
        assert (await world.http.get(path, params={"generation": "1"})).status_code == 200
        response = await world.http.get(path, params={"generation": "77"})
        assert (response.status_code, "generation 77 holds nothing" in response.text) == (404, True)


@pytest.mark.any_broker
async def test_a_model_may_have_slashes_in_its_name(world: World) -> None:
    """Only the first slash of a deployment's name divides."""
    provider = new_name("provider")
    token = await tripped(world, provider, model="meta/llama/3-70b")
    one = await world.read(f"/v1/breakers/{provider}/meta/llama/3-70b", token)
    assert (one["provider"], one["model"], one["state"]) == (provider, "meta/llama/3-70b", "OPEN")


@pytest.mark.any_broker
async def test_an_unknown_breaker_is_404(world: World) -> None:
    """It says where the known ones are."""
    response = await world.http.get("/v1/breakers/no/such")
    assert (response.status_code, response.json()["type"]) == (404, "urn:interlock:problem:not-found")


async def test_gates_are_shown_beside_the_breaker(world: World) -> None:
    """A 429 and a refused credential admit nothing and open no breaker."""
    limited, refused = new_name("provider"), new_name("provider")
    token = await world.sent(
        usage(provider=limited, outcome="RATE_LIMITED", status_code=429, retry_after_ms=60_000),
        usage(provider=refused, outcome="UNAUTHORIZED", status_code=401),
    )
    rate = await world.read(f"/v1/breakers/{limited}/gpt-4o", token)
    assert (rate["state"], rate["admits"]) == ("CLOSED", False)
    assert rate["gates"]["rate_limited_until"] > rate["at"]
    credential = await world.read(f"/v1/breakers/{refused}/gpt-4o", token)
    assert (credential["state"], credential["admits"]) == ("CLOSED", False)
    assert credential["gates"]["credential_refused_as"] == "UNAUTHORIZED"


async def test_health_puts_calls_checks_and_breakers_together(world: World) -> None:
    """One verdict for the provider with its reasons, and the evidence by deployment."""
    provider = new_name("provider")
    await tripped(world, provider)
    token = await world.sent(
        *(usage(new_name("tenant"), provider=provider, model="other") for _ in range(3)),
        health_check(provider, "DEGRADED", latency_ms=120.5, error="slow"),
    )
    health = await world.read(f"/v1/providers/{provider}/health", consistency="strong")
    assert token
    by_name = {one["deployment"]: one for one in health["deployments"]}
    assert by_name.keys() == {f"{provider}/gpt-4o", f"{provider}/other"}
    bad = by_name[f"{provider}/gpt-4o"]
    assert (bad["status"], bad["breaker_state"], bad["consecutive_failures"]) == ("UNHEALTHY", "OPEN", 5)
    assert bad["last_error"]["text"] == "overheated"
    assert bad["windows"]["5m"]["success_rate"] == 0
    assert by_name[f"{provider}/other"]["totals"] == {"SUCCESS": 3}
    assert (health["check"]["status"], health["check"]["latency_ms"]) == ("DEGRADED", 120.5)
    assert health["status"] in {"DEGRADED", "UNHEALTHY"}
    assert health["reasons"]


async def test_a_provider_is_known_by_its_traffic(world: World) -> None:
    """With version 0 until an operator sets it, and with the deployments that were seen."""
    provider = new_name("provider")
    await world.sent(usage(provider=provider))
    one = await world.read(f"/v1/providers/{provider}", consistency="strong")
    assert (one["version"], one["enabled"], one["deployments"]) == (0, True, [f"{provider}/gpt-4o"])
    listed = await world.read("/v1/providers", consistency="strong")
    assert provider in {each["provider"] for each in listed["providers"]}
    assert (await world.http.get(f"/v1/providers/{new_name('nobody')}")).status_code == 404


async def test_spend_is_summed_by_level_and_provider(world: World) -> None:
    """The same calls, seen from the tenant, a team, and a team's calls to one provider."""
    tenant = new_name("tenant")
    token = await world.sent(
        usage(tenant, team="a", provider="p1", cost_usd="0.1"),
        usage(tenant, team="a", provider="p2", cost_usd="0.02"),
        usage(tenant, team="b", provider="p1", cost_usd="0.003"),
        usage(tenant, team="b", provider="p1", model="unpriced", cost_nano_usd=None),
    )

    async def cost(**query: str) -> str:
        spend = await world.read(f"/v1/spend/{tenant}", token, **query)
        assert sum(day["calls"] for day in spend["days"]) == spend["total"]["calls"]
        return str(spend["total"]["cost_usd"])

    assert await cost() == "0.123"
    assert await cost(team="a") == "0.12"
    assert await cost(team="a", provider="p2") == "0.02"
    assert await cost(provider="p1", model="gpt-4o") == "0.103"
    whole = await world.read(f"/v1/spend/{tenant}", token)
    assert (whole["total"]["calls"], whole["total"]["unpriced_calls"]) == (4, 1)
    assert whole["total"]["input_tokens"] == 4000


@pytest.mark.any_broker
@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-01T00:00:01Z"},
        {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"team": "a", "user": "b"},
        {"model": "gpt-4o"},
        {"from": "yesterday"},
    ],
)
async def test_a_range_that_cannot_be_summed_is_422(query: dict[str, str], world: World) -> None:
    """Off the quarter hours, turned round, too long, or of two levels at once."""
    response = await world.http.get("/v1/spend/acme", params=query)
    assert response.status_code == 422


async def test_routing_decisions_are_counted_with_the_last_one(world: World) -> None:
    """Where requests went, and why the last one went where it did."""
    tenant = new_name("tenant")
    passed_over = {"deployment": "p/m2", "breaker_state": "OPEN", "verdict": "breaker_open"}
    token = await world.sent(routing(tenant), routing(tenant, request_id="req-2", candidates=[passed_over]))
    seen = await world.read(f"/v1/routing/{tenant}", token)
    assert (seen["decisions"], seen["by_deployment"], seen["by_strategy"]) == (
        2,
        {"openai/gpt-4o": 2},
        {"priority": 2},
    )
    assert (seen["last"]["request_id"], seen["last"]["passed_over"]) == ("req-2", {"p/m2": "breaker_open"})
    assert (await world.http.get(f"/v1/routing/{new_name('tenant')}")).status_code == 404


async def test_an_answer_says_what_it_has_folded(world: World) -> None:
    """The header covers at least what the read asked for."""
    tenant = new_name("tenant")
    token = await world.sent(usage(tenant, cost_usd="1"))
    for consistency in ({"at_least": token}, {"consistency": "strong"}):
        response = await world.http.get(f"/v1/spend/{tenant}", params=consistency)
        folded = parse_vector(response.headers["interlock-positions"])
        assert all(folded[partition] >= offset for partition, offset in parse_vector(token).items())
        assert response.json()["total"]["cost_usd"] == "1"


async def test_an_eventual_read_comes_to_see_what_was_written(world: World) -> None:
    """Pushes correct the cache, and the header never claims more than the answer has."""
    tenant = new_name("tenant")
    token = ""
    sent = 0

    async def seen() -> bool:
        response = await world.http.get(f"/v1/spend/{tenant}")
        folded = parse_vector(response.headers["interlock-positions"])
        claims = all(folded.get(part, 0) >= offset for part, offset in parse_vector(token).items())
        has = int(response.json()["total"]["calls"]) == sent
        assert has or not claims
        return has

    while sent < 3:
        sent += 1
        token = await world.sent(usage(tenant, cost_usd="1"))
        await eventually(seen)


@pytest.mark.any_broker
@pytest.mark.parametrize(
    "query, says",
    [
        ({"consistency": "session"}, "at_least"),
        ({"consistency": "strong", "at_least": "usage-0:1"}, "at_least"),
        ({"consistency": "linear"}, "consistency"),
        ({"at_least": "nonsense"}, "nonsense"),
        ({"at_least": "usage-99:1"}, "usage-99"),
        ({"at_least": "alerts-0:1"}, "alerts"),
    ],
)
async def test_a_consistency_that_cannot_be_had_is_422(
    query: dict[str, str], says: str, world: World
) -> None:
    """The problem names the parameter or the position."""
    response = await world.http.get("/v1/breakers", params=query)
    assert response.status_code == 422, response.text
    assert says in response.text


async def test_a_read_of_the_future_is_504_with_the_lag(world: World) -> None:
    """The wait is bounded, and no stale answer is given in its place."""
    tenant = new_name("tenant")
    token = await world.sent(usage(tenant))
    [(partition, offset)] = parse_vector(token).items()
    query = {"at_least": f"{partition}:{offset + 1000}"}
    async with hasty(world) as impatient:
        response = await impatient.http.get(f"/v1/spend/{tenant}", params=query)
    assert response.status_code == 504
    assert response.headers["retry-after"]
    assert 0 < response.json()["lag"][str(partition)] <= 1000


async def test_status_says_how_far_everything_is(world: World) -> None:
    """Positions, ends and lags by partition, and the owner and epoch of each slot."""
    token = await world.sent(usage(new_name("tenant")))
    await world.read("/v1/breakers", token)
    status = await world.read("/v1/status")
    assert (status["partitions"], status["problems"]) == (2, [])
    assert {slot["slot"] for slot in status["slots"]} == {"usage.0", "usage.1", "health.0", "health.1"}
    for slot in status["slots"]:
        assert slot["owner"]
        assert slot["epoch"] > 0
        for topic, position in slot["positions"].items():
            number = slot["slot"].rpartition(".")[2]
            assert slot["lag"][topic] == status["log_ends"][f"{topic}-{number}"] - position
    [worker] = status["workers"]
    assert len(worker["slots"]) == 4


async def test_health_and_metrics_answer(world: World) -> None:
    """Liveness, readiness by dependency, and the metrics of what was done."""
    assert (await world.read("/health/liveness"))["status"] == "alive"
    ready = await world.read("/health/readiness")
    assert {check["name"]: check["ok"] for check in ready["checks"]} == {
        "log": True,
        "live": True,
        "live-writes": True,
    }
    assert ready["status"] == "ready"
    await world.sent(usage(new_name("tenant")))
    text = (await world.http.get("/metrics")).text
    assert 'interlock_api_requests_total{method="POST",route="/v1/events",status="202"}' in text
    assert 'interlock_api_events_appended_total{type="UsageRecorded"}' in text
    assert 'interlock_lag_records{partition="0",topic="usage"}' in text


@pytest.mark.any_broker
async def test_a_request_keeps_its_id(world: World) -> None:
    """A sensible one of the client's is taken over, another is replaced."""
    kept = await world.http.get("/v1/status", headers={"x-request-id": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await world.http.get("/v1/status", headers={"x-request-id": "a b\tc"})
    assert len(replaced.headers["x-request-id"]) == 36
