"""`interlock rebuild analytics` as a process: planned, killed at each phase and run again, refused beside another, turned back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from api.cli.exits import CommandError
from api.cli.rebuild_stores import options_of
from api.settings import Settings
from processors.rebuild.store_plan import StoreOptions
from projections.analytics.beside import beside
from projections.analytics.sets import Sets
from projections.analytics.settings import AnalyticsSettings
from projections.lock import LockedError
from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.analytics.on_a_log import something_of_every_kind, write
from tests.integration.analytics.rebuilding import positions, rebuild_of, rebuilt, sets_of, wrong
from tests.integration.crew import environment_of
from tests.integration.live_server import eventually
from tests.integration.rig import Rig, settings_of_worker

pytestmark = pytest.mark.any_broker

KILLED_WITHIN_S = 60.0


@pytest.fixture
async def rig(log_address: str, settings: AnalyticsSettings) -> AsyncIterator[Rig]:
    """A log, and the analytics of it."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        await write(opened, settings)
        yield opened


@pytest.fixture
def console(tmp_path: Path, rig: Rig, settings: AnalyticsSettings) -> Console:
    """A shell of an operator."""
    return Console(tmp_path, environment_of("LOG", rig.log) | environment_of("ANALYTICS", settings))


async def killed_when(
    console: Console, *arguments: str, says: str = "", holds: Callable[[int], Awaitable[bool]] | None = None
) -> None:
    """A rebuild that is killed as soon as it says that, or as that holds of its process."""
    child = await console.start("rebuild", "analytics", *arguments)
    try:
        if holds is not None:
            pid = child.pid
            await eventually(lambda: holds(pid), KILLED_WITHIN_S)
        else:
            assert child.stderr is not None
            async with asyncio.timeout(KILLED_WITHIN_S):
                await child.stderr.readuntil(says.encode())
    finally:
        child.kill()
        await child.wait()


async def test_killed_while_it_writes_proves_and_has_switched_it_goes_on(
    console: Console, rig: Rig, settings: AnalyticsSettings
) -> None:
    """Beside it another is refused, who holds it is said, and a plan is made; nobody waits for the lock of the dead."""
    looked = (await console.succeeds("rebuild", "analytics", "--dry-run", "--json")).json
    records = looked["records"]
    assert (looked["set"], looked["live"], looked["resumed"], looked["refused"]) == (1, 0, False, [])
    assert records == sum(part["end"] for part in looked["parts"]) > 100
    assert await sets_of(settings) == Sets()

    async def has_written(pid: int) -> bool:
        if sum((await positions(sets, (await sets.sets()).built)).values()) < 5:
            return False
        with pytest.raises(LockedError, match=f"works on the analytics: .*:{pid}; wait"):
            await rebuilt(rig, settings)
        plan = (await rebuild_of(rig, settings).plan()).store
        assert plan.resumed
        assert 0 < plan.records < records == plan.to_prove
        return True

    async with beside(settings) as sets:
        await killed_when(console, "--max-events-per-s", "3", holds=has_written)
    await killed_when(console, "--max-events-per-s", "40", says="every document is compared")
    assert await sets_of(settings) == Sets(live=0, built=1)
    async with beside(settings) as sets:
        assert sum((await positions(sets, 1)).values()) == records
    await killed_when(console, says="the new set is live")
    assert await sets_of(settings) == Sets(live=1, before=0)
    assert await wrong(rig, settings) == []
    done = await console.succeeds("rebuild", "analytics")
    assert "rebuild analytics --back" in done.out
    assert "usage_patterns" in done.out.partition("documents before")[2]
    assert "set 2" in done.out.partition("live now")[2]
    assert await wrong(rig, settings) == []
    back = (await console.succeeds("rebuild", "analytics", "--back", "--json")).json
    assert back == {"live": 1, "before": 2, "behind": 0}


def test_the_way_back_takes_no_other_options() -> None:
    """An order that cannot be meant is refused before anything is asked."""
    with pytest.raises(CommandError, match="leave out the other options"):
        options_of(Settings(), StoreOptions(anew=True), dry_run=False, back=True)
