"""`interlock reprice` as a user runs it, over what gateways and a worker have left on a real log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.action_audited import ActionAudited
from events.spend_adjusted import SpendAdjusted
from processors.rebuild.progress import Progress
from processors.verify.live import verify_live
from projections.live.keys import reprice_lock_key
from projections.live.lock import RepriceLock
from tests.e2e.console import COMMAND_WITHIN_S, Console
from tests.integration.crew import environment_of
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import write, wrong
from tests.integration.live_server import LiveServer, live_server
from tests.integration.rebuild.site import alerts, rebuilt
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, budget, traffic, usage

pytestmark = pytest.mark.any_broker

PRICES = """
version: 1
prices:
  models: {openai/gpt-4o: {input_usd_per_mtok: "2.50", output_usd_per_mtok: "10.000000001"}}
"""
DEAR = PRICES.replace("2.50", "5").replace("10.000000001", "20")
CALL = 1000 * 2_500 + 100 * 10_000
"""A call of `usage` at these prices: what is beyond whole nano-USD is rounded away."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A Redis of this test's own."""
    async with live_server(tmp_path) as started:
        yield started


@pytest.fixture
async def rig(log_address: str, server: LiveServer) -> AsyncIterator[Rig]:
    """A log with calls of known and unknown price, and a worker."""
    async with Rig(settings_of_worker(log_address), server.settings()) as opened, opened.worker():
        await opened.append(budget("thrifty", 20 * CALL))
        await opened.folded()
        await opened.append(*(usage("thrifty", team="a") for _ in range(10)))
        await opened.append(usage("thrifty", cost_nano_usd=None), usage("thrifty", "mistral", "large"))
        await opened.append(*Traffic(opened).some(150))
        await opened.folded()
        yield opened


@pytest.fixture
def console(rig: Rig, tmp_path: Path) -> Console:
    """A shell of an operator."""
    (tmp_path / "prices.yaml").write_text(PRICES)
    (tmp_path / "dear.yaml").write_text(DEAR)
    return Console(tmp_path, environment_of("LOG", rig.log) | environment_of("LIVE", rig.live))


async def adjustments(rig: Rig) -> list[SpendAdjusted]:
    """All that are on the log."""
    return list(await rig.events("adjustments"))


async def audited(rig: Rig) -> list[ActionAudited]:
    """What the audit says, in the order in which it was told."""
    return sorted(await rig.events("audit"), key=lambda event: event.occurred_at)


async def differences(rig: Rig) -> list[str]:
    """What the naive folds say against the live state."""
    found = await verify_live(rig.log, rig.live, rig.codec, Progress(lambda *_: None), rig.slots)
    return [str(one) for one in found.comparison.differences]


async def test_a_wrong_price_is_looked_at_then_corrected_to_the_nano_dollar(
    rig: Rig, console: Console, place: Place
) -> None:
    """A look writes nothing; then an adjustment of each call whose cost differs, and again nothing is left to do. Prices may
    go back: each adjustment counts from the one before. A rebuild has the same, and tells no alert again; the history says so, too.
    """
    before = await rig.spent("thrifty")
    assert (before.cost_nano_usd, before.unpriced_calls) == (11 * 3_500_001, 1)
    arguments = ("reprice", "--policy", "prices.yaml", "--tenant", "thrifty", "--json")
    plan = (await console.succeeds(*arguments)).json
    assert await adjustments(rig) == []
    [gpt, mistral] = sorted(plan["rows"], key=lambda row: -row["calls"])
    assert (gpt["calls"], gpt["adjusted"], gpt["difference_usd"]) == (11, 11, "0.00349999")
    assert (mistral["calls"], mistral["adjusted"], mistral["difference_usd"]) == (1, 0, "0")

    told = (await console.succeeds(*arguments, "--apply", "--reason", "list", "--actor", "ann")).json
    assert told["rows"] == plan["rows"]
    [proof] = told["proof"]
    assert (proof["holds"], proof["difference_usd"]) == (True, "0.00349999")
    after = await rig.spent("thrifty")
    assert after.cost_nano_usd == 11 * CALL + 3_500_001
    assert (after.calls, after.unpriced_calls) == (before.calls, 0)
    assert (await rig.spent("thrifty", "team=a")).cost_nano_usd == 10 * CALL
    events = await adjustments(rig)
    said = {(event.actor, event.reason, event.price_version_before) for event in events}
    assert said == {("ann", "list", None)}
    assert len({event.usage_id for event in events}) == 11
    audit = await audited(rig)
    assert [(one.result, one.actor) for one in audit] == [("STARTED", "ann"), ("DONE", "ann")]
    assert {event.correlation_id for event in events} == {one.correlation_id for one in audit}
    facts = {"adjustments": "11", "difference_usd": "0.00349999", "tenant": "thrifty", "reason": "list"}
    assert all(facts.items() <= one.attributes.items() for one in audit)

    again = (await console.succeeds(*arguments, "--apply")).json
    assert (again["total"]["calls"], again["total"]["adjusted"], again["proof"]) == (12, 0, [])
    assert await adjustments(rig) == events
    assert await audited(rig) == audit

    shown = await console.succeeds("reprice", "--policy", "dear.yaml", "--tenant", "thrifty", "--apply")
    assert "proven" in shown.out
    assert (await rig.spent("thrifty")).cost_nano_usd == 11 * 2 * CALL + 3_500_001
    assert {event.cost_before_nano_usd for event in (await adjustments(rig))[11:]} == {CALL}
    await console.succeeds(*arguments, "--apply")
    assert (await rig.spent("thrifty")).cost_nano_usd == 11 * CALL + 3_500_001
    assert len({one.correlation_id for one in await audited(rig)}) == 3
    await rig.folded()
    raised = await alerts(rig)
    assert len(raised) == len(set(raised)) == 3
    assert (await rebuilt(rig)).comparison.is_equal
    assert await differences(rig) == []
    assert await alerts(rig) == raised
    await write(rig, place)
    assert await wrong(rig, place) == []
    for grain in ("minute", "hour", "day"):
        by_grain = f"SELECT sum(cost_nano_usd)::bigint FROM usage_by_{grain} WHERE tenant = 'thrifty'"
        assert await place.value(by_grain) == 11 * CALL + 3_500_001


async def test_killed_amid_its_appends_it_goes_on_when_run_again(rig: Rig, console: Console) -> None:
    """Beside live traffic: only what is missing is appended, and the sums are proven with what was used meanwhile."""
    command = ("reprice", "--policy", str(console.folder / "prices.yaml"), "--apply", "--json")
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.reprice.killed", "20", *command),
        env={**os.environ, **console.environment},
    )
    assert await asyncio.wait_for(child.wait(), COMMAND_WITHIN_S) == -signal.SIGKILL
    first = await adjustments(rig)
    assert len(first) >= 20
    assert [one.result for one in await audited(rig)] == ["STARTED"]
    await rig.store.connection.command("DEL", reprice_lock_key(rig.live.namespace))
    async with RepriceLock(rig.store.connection, rig.live.namespace):
        locked = await console.run(*command)
    assert (locked.code, "another command works on the adjustments" in locked.err) == (5, True)
    async with traffic(rig):
        told = (await console.succeeds(*command)).json
    assert all(one["holds"] for one in told["proof"])
    assert told["total"]["adjusted"] > 0
    await rig.folded()
    events = await adjustments(rig)
    assert len(events) == len(first) + told["total"]["adjusted"]
    assert len({event.usage_id for event in events}) == len(events)
    assert await differences(rig) == []
    begun, ended = await audited(rig)
    assert (ended.result, ended.attributes["adjustments"]) == ("DONE", str(told["total"]["adjusted"]))
    assert {event.correlation_id for event in events} == {begun.correlation_id} == {ended.correlation_id}


async def test_killed_before_it_has_told_the_end_it_tells_it_once(rig: Rig, console: Console) -> None:
    """Nothing is left to adjust then, and the audit is told so; run once more, there is nothing to tell."""
    command = ("reprice", "--policy", "prices.yaml", "--tenant", "thrifty", "--apply")
    await console.killed("before projections.audit:Audit.tell 2", *command)
    events = await adjustments(rig)
    for _ in range(2):
        await rig.store.connection.command("DEL", reprice_lock_key(rig.live.namespace))
        await console.succeeds(*command)
    assert await adjustments(rig) == events
    begun, ended = await audited(rig)
    assert (begun.result, ended.result) == ("STARTED", "DONE")
    assert begun.correlation_id == ended.correlation_id == events[0].correlation_id
