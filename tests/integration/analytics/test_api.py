"""What the API answers of planted traffic: the numbers are those of a hand calculation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.rfc3339 import format_time_us
from api.settings import Settings
from embedded.chroma import ChromaServer
from events.envelope import OutcomeKind
from events.money import format_usd
from events.pricing import price_call
from events.settings import LogSettings
from projections.analytics.settings import AnalyticsSettings
from projections.settings import LiveSettings
from tests.integration.analytics.conftest import settings_at
from tests.integration.analytics.records import HOUR_US
from tests.integration.analytics.stories import (
    HOUR_NOW_US,
    STATE_NOW_US,
    STATE_US,
    hourly,
    opened,
    outcomes,
    tell,
)
from tests.integration.api.world import NOBODY, served
from tests.integration.log import NOW_US, usage


@asynccontextmanager
async def api_of(analytics: AnalyticsSettings) -> AsyncIterator[httpx.AsyncClient]:
    """The API of these analytics; the log and the live store are away, and not asked."""
    settings = Settings.model_construct(
        log=LogSettings(bootstrap=NOBODY, request_timeout_s=1.0),
        live=LiveSettings(redis_url=f"redis://{NOBODY}/0"),
        api=Settings().api,
        history=Settings().history,
        analytics=analytics,
        archive=Settings().archive,
    )
    async with served(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield http


async def asked(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    """The JSON of a question."""
    answer = await http.get(f"/v1/analytics/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def searched(http: httpx.AsyncClient, **body: Any) -> Any:
    """The documents of a search."""
    answer = await http.post("/v1/analytics/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"]


NOW = format_time_us(HOUR_NOW_US)


async def test_a_planted_spike_is_told_and_its_parts_named(settings: AnalyticsSettings) -> None:
    """Twenty times the calls in one hour, and only of this tenant."""
    await tell(
        settings,
        [
            *hourly("acme", range(1, 40), 10),
            *hourly("acme", range(1), 200, user="bob"),
            *hourly("globex", range(40), 20),
        ],
    )
    async with api_of(settings) as http:
        found = await asked(http, "anomalies", tenant="acme", at=NOW)
        calm = await asked(http, "anomalies", tenant="globex", at=NOW)
    told = {one["measure"]: one for one in found["anomalies"]}
    assert told.keys() == {"calls", "cost_usd"}
    assert told["cost_usd"]["value"] == "0.7"
    assert not told["calls"]["shared"]
    assert found["contributors"][0]["user"] == "bob"
    assert calm["judged"]
    assert calm["anomalies"] == []


async def test_a_spike_that_peers_share_is_said_to_be_shared(settings: AnalyticsSettings) -> None:
    """All tenants grew alike: the window is unusual, and not the tenant's own doing."""
    grown = [
        *hourly("acme", range(1), 100),
        *hourly("globex", range(1), 200),
        *hourly("acme", range(1, 30), 10),
        *hourly("globex", range(1, 30), 20),
    ]
    await tell(settings, grown)
    async with api_of(settings) as http:
        found = await asked(http, "anomalies", tenant="acme", at=NOW)
    [calls] = [one for one in found["anomalies"] if one["measure"] == "calls"]
    assert calls["shared"]
    assert calls["peers"] == 1


async def test_a_tenant_that_falls_silent_is_told(settings: AnalyticsSettings) -> None:
    """It called in every hour, and not in this one."""
    await tell(settings, list(hourly("acme", range(1, 30), 40)))
    async with api_of(settings) as http:
        found = await asked(http, "anomalies", tenant="acme", at=NOW)
        young = await asked(http, "anomalies", tenant="nobody", at=NOW)
    assert "calls" in {one["measure"] for one in found["anomalies"]}
    assert not young["judged"]


async def test_search_finds_by_words_by_example_and_by_filter(settings: AnalyticsSettings) -> None:
    """The failing window of one provider comes first, whatever way it is asked for."""
    await tell(
        settings,
        [
            *hourly("acme", range(3), 10),
            *hourly("acme", range(1), 10, provider="anthropic", model="claude-sonnet-4-5"),
            *hourly(
                "acme",
                range(1, 2),
                10,
                provider="anthropic",
                model="claude-sonnet-4-5",
                outcome=OutcomeKind.TIMEOUT,
                latency_ms=30_000,
            ),
        ],
    )
    async with api_of(settings) as http:
        [first, second, *_] = await searched(http, text="slow timeouts of anthropic")
        assert first["fields"]["failures"] == 11
        assert second["fields"]["provider"] == "anthropic"
        [like, *_] = await searched(http, like=first["id"], limit=1)
        assert like["id"] == second["id"]
        filtered = await searched(
            http,
            text="calls",
            tenant="acme",
            conditions=[{"field": "error_rate", "comparison": "gte", "value": 0.5}],
        )
        assert [one["id"] for one in filtered] == [first["id"]]
        dear = [{"field": "cost_usd", "comparison": "gt", "value": "1"}]
        assert await searched(http, text="calls", conditions=dear) == []
        nobody = await http.post("/v1/analytics/search", json={"like": "nobody"})
        assert nobody.status_code == 404
        wrong = [{"field": "colour", "value": "red"}]
        refused = await http.post("/v1/analytics/search", json={"text": "x", "conditions": wrong})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/conditions/0"


async def test_similar_incidents_tell_what_followed(settings: AnalyticsSettings) -> None:
    """Half of the calls time out as they did once before; then it took two windows, and a breaker opened."""
    calm = [outcomes("openai", ago, 100, 0) for ago in range(1, 60)]
    calm = [one for index, one in enumerate(calm, 1) if index not in (40, 39)]
    planted = [
        *calm,
        outcomes("openai", 40, 50, 50),
        outcomes("openai", 39, 60, 40),
        outcomes("openai", 0, 52, 48),
    ]
    planted.sort(key=lambda one: one.occurred_at)
    await tell(settings, planted, [opened("openai", 39)])
    async with api_of(settings) as http:
        at = format_time_us(STATE_NOW_US + 1)
        found = await asked(http, "similar-incidents", provider="openai", at=at, limit=1)
        well = format_time_us(STATE_NOW_US - 1)
        healthy = await asked(http, "similar-incidents", provider="openai", at=well, limit=2)
        unknown = await http.get("/v1/analytics/similar-incidents", params={"provider": "x", "at": at})
    assert found["state"]["outcomes"] == {"TIMEOUT": 48}
    [incident] = found["incidents"]
    assert incident["state"]["from"] == format_time_us(STATE_NOW_US - 40 * STATE_US)
    assert 0.99 < incident["likeness"] < 1
    assert incident["recovered_after_s"] == 600
    assert incident["opened_breakers"] == 1
    assert incident["followed"][1]["failure_rate"] == 0.4
    assert (found["recovered"], found["median_recovery_s"], found["complete"]) == (1, 600, True)
    assert [(one["likeness"], one["state"]["failing"]) for one in healthy["incidents"]] == [(1, False)] * 2
    assert unknown.status_code == 404


async def test_savings_equal_a_hand_calculation(settings: AnalyticsSettings) -> None:
    """A cheaper model that does as well, tokens that others have cached, and calls that were paid twice."""
    tokens = {"input_tokens": 1_000, "output_tokens": 100, "latency_ms": 800}
    call = tokens | {"cost_nano_usd": priced("gpt-4o", 0)}
    mine = [usage(tenant="acme", user="ann", **call) for _ in range(200)]
    cached = call | {"cached_input_tokens": 500, "cost_nano_usd": priced("gpt-4o", 500)}
    others = [usage(tenant=tenant, user="x", **cached) for tenant in ("b", "c", "d") for _ in range(100)]
    mini = [usage(tenant="b", user="y", model="gpt-4o-mini", **tokens) for _ in range(150)]
    lost = [
        usage(tenant="acme", user="ann", outcome=OutcomeKind.CONTENT_FILTER, **tokens, cost_nano_usd=7_000)
        for _ in range(3)
    ]
    again = [usage(tenant="acme", user="ann", attempt=2, **call)]
    await tell(settings, [*mine, *others, *mini, *lost, *again])
    async with api_of(settings) as http:
        found = await asked(
            http,
            "savings",
            tenant="acme",
            **{"from": format_time_us(NOW_US - HOUR_US), "to": format_time_us(NOW_US + 1)},
        )
    told = {one["kind"]: one for one in found["savings"]}
    assert told.keys() == {"cheaper_model", "cached_tokens", "paid_twice"}
    calls, paid = 204, 201 * priced("gpt-4o", 0) + 3 * 7_000
    assert (found["calls"], found["paid_usd"]) == (calls, format_usd(paid))
    assert told["cheaper_model"]["instead"] == "openai/gpt-4o-mini"
    assert told["cheaper_model"]["estimate_usd"] == format_usd(paid - calls * priced("gpt-4o-mini", 0))
    assert told["cached_tokens"]["estimate_usd"] == format_usd(
        calls * (priced("gpt-4o", 0) - priced("gpt-4o", 500))
    )
    assert told["cached_tokens"]["evidence"]["missed_tokens"] == calls * 500
    assert told["paid_twice"]["estimate_usd"] == format_usd(3 * 7_000)


def priced(model: str, cached: int) -> int:
    """List price of one call of the story."""
    found = price_call(
        "openai", model, NOW_US, input_tokens=1_000, output_tokens=100, cached_input_tokens=cached
    )
    assert found is not None
    return found


async def test_without_a_server_the_answer_says_what_to_set() -> None:
    """503, not for a while but until it is configured."""
    async with api_of(AnalyticsSettings()) as http:
        answer = await http.get("/v1/analytics/savings", params={"tenant": "acme"})
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("analytics-off")
    assert "INTERLOCK_ANALYTICS__CHROMA_URL" in answer.json()["detail"]


async def test_a_chroma_that_is_away_is_503_and_its_return_200(tmp_path: Any) -> None:
    """Within the bound, and without a restart of the API."""
    server = ChromaServer(tmp_path)
    await server.start()
    try:
        settings = settings_at(server.address, read_timeout_s=5.0)
        await tell(settings, [usage()])
        async with api_of(settings) as http:
            assert len(await searched(http, text="acme")) == 1
            await server.kill()
            async with asyncio.timeout(20):
                answer = await http.post("/v1/analytics/search", json={"text": "acme"})
            assert answer.status_code == 503
            assert answer.json()["type"].endswith("analytics-unavailable")
            assert "Retry-After" in answer.headers
            await server.start()
            assert len(await searched(http, text="acme")) == 1
    finally:
        await server.stop()


@pytest.mark.parametrize("folder", ["nowhere"])
async def test_a_model_that_is_not_there_is_told_by_name(
    settings: AnalyticsSettings, folder: str, tmp_path: Any
) -> None:
    """The message says which files are missing, and how to do without."""
    wanting = settings.model_copy(update={"embedding_folder": tmp_path / folder})
    async with api_of(wanting) as http:
        answer = await http.post("/v1/analytics/search", json={"text": "acme"})
    assert answer.status_code == 503
    assert "model.onnx and tokenizer.json" in answer.json()["detail"]
