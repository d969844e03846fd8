"""`interlock verify` as a user runs it: what is tampered with is found and named, and repaired."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis

from tests.cloud_events import usage
from tests.e2e.console import Console, running
from tests.integration.live_server import eventually


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A user in an empty folder, whose workers join within a second."""
    return Console(tmp_path, {"INTERLOCK_LOG__SESSION_TIMEOUT_S": "2"})


async def test_a_user_finds_what_was_tampered_with_and_repairs_it(console: Console) -> None:
    """Equal at first; then a key in Redis is changed: exit code 1 with its name, and 0 after the repair."""
    events = [usage("acme", outcome="SERVER_ERROR", cost_usd="0.5") for _ in range(5)]
    lines = b"\n".join(orjson.dumps(event) for event in events)
    async with running(console, "--workers", "1", "--also", "postgres,chroma") as up:
        await console.succeeds("events", "publish", "-", stdin=lines)

        async def is_there() -> bool:
            shown = await console.run("breakers", "show", "openai/gpt-4o", "--json")
            written = await console.run("history", "breakers", "--json")
            return shown.code == 0 and shown.json["recorded_state"] == "OPEN" and "OPEN" in written.out

        async def is_proved() -> bool:
            proved = await console.run("verify", "--json")
            results = {one["projection"]: one for one in proved.json["projections"]}
            assert list(results) == ["live", "history", "analytics", "archive"]
            assert not any(one["differ"] for one in results.values())
            return proved.code == 0 and all(one["compared"] for one in results.values())

        await eventually(is_there, 60)
        await eventually(is_proved, 60)
        live = (await console.succeeds("verify", "live", "--json")).json
        assert live["equal"]
        assert live["folded"] >= 6
        analytics = await console.succeeds("verify", "analytics")
        assert "DIFFERENT" not in analytics.out
        async with Redis.from_url(up.addresses["live"], decode_responses=True) as client:
            [key] = [key async for key in client.scan_iter(match="*:breaker:openai/gpt-4o")]
            document = orjson.loads(str(await client.get(key)))
            await client.set(key, orjson.dumps(document | {"state": "CLOSED"}, option=orjson.OPT_SORT_KEYS))
        postgres = await asyncpg.connect(up.addresses["history"])
        await postgres.execute("UPDATE interlock.usage SET cost_nano_usd = 7")
        await postgres.close()
        found = await console.run("verify", "live")
        assert found.code == 1
        assert "breaker:openai/gpt-4o: state is CLOSED live, OPEN by the log" in found.out
        found = await console.run("verify")
        assert found.code == 1
        assert "live: health" in found.out
        assert "breaker:openai/gpt-4o: state is CLOSED live, OPEN by the log" in found.out
        assert "live DIFFERENT, history DIFFERENT: `interlock verify live` tells all of it" in found.err
        repaired = await console.succeeds("verify", "--repair", "--json")
        done = {one["projection"]: (one["result"], one["repaired"]) for one in repaired.json["projections"]}
        assert done["live"][0] == done["history"][0] == "repaired"
        assert [line for line in done["live"][1] if line.endswith("folded anew")]
        assert len([line for line in done["history"][1] if line.endswith("written anew")]) == len(events)
        assert (done["analytics"], done["archive"]) == (("equal", []), ("equal", []))
        assert "state is CLOSED live, OPEN by the log" in repaired.err
        assert "cost_nano_usd is 7 in the history, 500000000 by the log" in repaired.err
        assert (await console.succeeds("verify", "history", "--json")).json["equal"]
        shown = await console.succeeds("breakers", "show", "openai/gpt-4o", "--json")
        assert shown.json["recorded_state"] == "OPEN"
        refused = await console.run("verify", "live", "--partition", "4096")
        assert refused.code == 2
        assert "there is no partition 4096" in refused.err


async def test_what_is_not_there_is_named_and_what_is_away_is_the_exit_code(console: Console) -> None:
    """Without any server: nothing but the live state is configured, and it cannot be verified."""
    console.environment |= {
        "INTERLOCK_LIVE__REDIS_URL": "redis://127.0.0.1:1",
        "INTERLOCK_LOG__REQUEST_TIMEOUT_S": "1",
    }
    ended = await console.run("verify", "--json")
    assert ended.code == 3
    results = {one["projection"]: (one["result"], one["why"]) for one in ended.json["projections"]}
    assert results["live"][0] == "not verified"
    assert "127.0.0.1:1" in results["live"][1]
    assert results["history"] == ("left out", "INTERLOCK_HISTORY__POSTGRES_DSN is not set")
    assert results["analytics"] == ("left out", "INTERLOCK_ANALYTICS__CHROMA_URL is not set")
    assert results["archive"][0] == "left out"
    assert "INTERLOCK_ARCHIVE__FOLDER" in results["archive"][1]
    assert (await console.run("verify", "--json", "live")).code == 2
