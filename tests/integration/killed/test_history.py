"""Commands on the history killed at each of their steps: readers and the sink go on, and the next run ends the work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import caught_up, sinking, something_of_every_kind, wrong
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic

pytestmark = pytest.mark.any_broker

COST = "SELECT cost_nano_usd FROM usage WHERE \"user\" = 'tampered'"
TAMPER = "UPDATE usage SET cost_nano_usd = 70 WHERE \"user\" = 'tampered'"


@pytest.fixture
async def rig(log_address: str, place: Place) -> AsyncIterator[Rig]:
    """A log, and the history of it with a sink at work."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        async with sinking(opened, place):
            await caught_up(opened, place)
            yield opened


async def test_a_rebuild_killed_while_it_switches(rig: Rig, place: Place, console: Console) -> None:
    """The names change together or not at all; what is live once they have is the new one."""
    await place.ask(TAMPER)
    for moment, cost in (
        ("after projections.history.beside:Beside.make_live", 70),
        ("before projections.history.side_by_side:SideBySide.months", 7),
    ):
        await console.killed(moment, "rebuild", "history")
        assert await place.value(COST) == cost, moment
        await rig.append(*Traffic(rig).some(5))
        await caught_up(rig, place)
    assert await wrong(rig, place) == []


async def places_that_differ(rig: Rig, place: Place) -> list[str]:
    """In the order in which they are repaired."""
    return sorted({one.split()[0] for one in await wrong(rig, place)})


async def test_a_repair_killed_within_and_between_its_transactions(
    rig: Rig, place: Place, console: Console
) -> None:
    """A transaction is there whole or not at all; the sink, which waited, goes on."""
    await place.ask(TAMPER)
    await place.ask("DELETE FROM health")
    await place.ask("UPDATE usage_by_day SET calls = calls + 1")
    before = await places_that_differ(rig, place)
    repair = ("verify", "history", "--repair", "--json")
    for moment in (
        "before projections.history.rollup_mender:_write",
        "after projections.history.write_again:Rewriter.write",
    ):
        await console.killed(moment, *repair)
        await rig.append(*Traffic(rig).some(5))
        await caught_up(rig, place)
    assert await places_that_differ(rig, place) == before[2:]
    ended = (await console.succeeds(*repair)).json
    assert ended["equal"]
    assert [line for line in ended["repaired"] if line.endswith("summed up anew")]
    await rig.append(*Traffic(rig).some(5))
    await caught_up(rig, place)
    assert await wrong(rig, place) == []
