"""`interlock up` stopped and started again: the log and all that is folded from it are as they were."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cloud_events import usage
from tests.e2e.console import Console, published, running
from tests.integration.live_server import eventually

LEAN = ("--also", "none")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A user in an empty folder, whose workers join within a second."""
    return Console(tmp_path, {"INTERLOCK_LOG__SESSION_TIMEOUT_S": "2"})


async def ranges(console: Console) -> dict[str, object]:
    """What each topic holds."""
    topics = (await console.succeeds("topics", "list", "--json")).json
    return {topic["topic"]: topic["ranges"] for topic in topics}


async def breaker(console: Console) -> dict[str, object]:
    """The breaker as the fold has it, without what depends on the time of asking."""
    shown = await console.run("breakers", "show", "openai/gpt-4o", "--json")
    return (
        {name: shown.json[name] for name in ("recorded_state", "version", "since", "open_until", "reason")}
        if shown.code == 0
        else {}
    )


async def test_stop_and_start_leaves_positions_and_state_as_they_were(console: Console) -> None:
    """Events published, a breaker open, a budget spent; then everything is stopped, and started again."""
    events = [usage("acme", outcome="SERVER_ERROR", cost_usd="0.5") for _ in range(5)]
    lines = b"\n".join(orjson.dumps(event) for event in events)
    async with running(console, *LEAN) as up:
        await console.succeeds("events", "publish", "-", "--json", stdin=lines)
        await console.succeeds("budgets", "set", "acme", "monthly", "10", "--reason", "pilot")

        async def folded() -> bool:
            return (await breaker(console)).get("recorded_state") == "OPEN"

        async def budgeted() -> bool:
            shown = await console.run("budgets", "show", "acme", "monthly", "--json")
            return shown.code == 0 and shown.json["calls"] == 5

        await eventually(folded, 60)
        await eventually(budgeted, 60)
        await published(console)
        before = await ranges(console)
        state = await breaker(console)
        budget = (await console.succeeds("budgets", "show", "acme", "monthly", "--json")).json
        up.interrupt()
        assert (await up.ended()).code == 0
    async with running(console, *LEAN) as again:
        assert await ranges(console) == before

        async def folded_again() -> bool:
            return await breaker(console) == state

        await eventually(folded_again, 60)
        await eventually(budgeted, 60)
        after = (await console.succeeds("budgets", "show", "acme", "monthly", "--json")).json
        assert (after["spent_usd"], after["remaining_usd"]) == (budget["spent_usd"], budget["remaining_usd"])
        more = await console.succeeds("events", "publish", "-", "--json", stdin=lines.split(b"\n")[0])
        assert more.json["appended"] == 1
        again.interrupt()
        ended = await again.ended()
    assert ended.code == 0
    assert "records were put back on the log" in ended.err
