"""`interlock verify` as a user runs it: what is tampered with is found and named, and repaired."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.timeout(240)
async def test_a_user_finds_what_was_tampered_with_and_repairs_it(console: Console) -> None:
    """Equal at first; then a key in Redis is changed: exit code 1 with its name, and 0 after the repair."""
    events = [usage("acme", outcome="SERVER_ERROR", cost_usd="0.5") for _ in range(5)]
    lines = b"\n".join(orjson.dumps(event) for event in events)
    async with running(console, "--workers", "1", "--also", "postgres") as up:
        await console.succeeds("events", "publish", "-", stdin=lines)

        async def is_there() -> bool:
            shown = await console.run("breakers", "show", "openai/gpt-4o", "--json")
            written = await console.run("history", "breakers", "--json")
            return shown.code == 0 and shown.json["recorded_state"] == "OPEN" and "OPEN" in written.out

        await eventually(is_there, 60)
        live = (await console.succeeds("verify", "live", "--json")).json
        assert live["equal"]
        assert live["folded"] >= 6
        history = await console.succeeds("verify", "history")
        assert "DIFFERENT" not in history.out
        async with Redis.from_url(up.addresses["live"], decode_responses=True) as client:
            [key] = [key async for key in client.scan_iter(match="*:breaker:openai/gpt-4o")]
            document = orjson.loads(str(await client.get(key)))
            await client.set(key, orjson.dumps(document | {"state": "CLOSED"}, option=orjson.OPT_SORT_KEYS))
        found = await console.run("verify", "live")
        assert found.code == 1
        assert "breaker:openai/gpt-4o: state is CLOSED live, OPEN by the log" in found.out
        repaired = await console.succeeds("verify", "live", "--repair", "--json")
        assert repaired.json["equal"]
        assert "state is CLOSED live, OPEN by the log" in repaired.err
        shown = await console.succeeds("breakers", "show", "openai/gpt-4o", "--json")
        assert shown.json["recorded_state"] == "OPEN"
        refused = await console.run("verify", "live", "--partition", "4096")
        assert refused.code == 2
        assert "there is no partition 4096" in refused.err
