"""`interlock backfill analytics` as a process: only what is meant is filled, nothing twice, nothing beside a rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cli.exits import Exit
from projections.analytics.beside import SetsLock, beside
from projections.analytics.documents import COST, USAGE
from projections.analytics.settings import AnalyticsSettings
from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.analytics.on_a_log import hands_on, something_of_every_kind, told, verified
from tests.integration.analytics.rebuilding import caught_up, sinking
from tests.integration.crew import environment_of
from tests.integration.rig import Rig, settings_of_worker

pytestmark = pytest.mark.any_broker

ALL = ("--from", "2020-01-01T00:00:00Z", "--json")


@pytest.fixture
async def rig(log_address: str) -> AsyncIterator[Rig]:
    """A log with something of every kind."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        yield opened


@pytest.fixture
def console(tmp_path: Path, rig: Rig, settings: AnalyticsSettings) -> Console:
    """A shell of an operator."""
    return Console(tmp_path, environment_of("LOG", rig.log) | environment_of("ANALYTICS", settings))


async def lost(settings: AnalyticsSettings) -> dict[str, int]:
    """All documents of one collection, and those of two tenants in another; how many of each tenant."""
    gone = {"acme": 0, "globex": 0}
    async with hands_on(settings) as hands:
        for one in await hands.all(COST):
            await hands.take(COST, one)
        for one in await hands.all(USAGE):
            tenant = str(one.metadata["tenant"])
            if tenant in gone:
                await hands.take(USAGE, one)
                gone[tenant] += 1
    return gone


async def test_a_part_is_filled_and_then_all_while_the_sink_goes_on(
    console: Console, rig: Rig, settings: AnalyticsSettings
) -> None:
    """A look changes nothing; one tenant's documents leave the others missing; a collection of nothing; then nothing is left."""
    async with sinking(rig, settings):
        await caught_up(rig, settings)
        gone = await lost(settings)
        of_acme = ("backfill", f"analytics.{USAGE}", *ALL, "--tenant", "acme")
        looked = (await console.succeeds(*of_acme, "--dry-run")).json
        assert (len(looked["differences"]), looked["changed"]) == (gone["acme"], 0)
        done = (await console.succeeds(*of_acme)).json
        assert (done["changed"], done["differences"]) == (gone["acme"], [])
        left = {name.split(" ")[1].partition(":")[0] for name in told(await verified(rig, settings))}
        assert left == {USAGE, COST}
        rest = (await console.succeeds("backfill", "analytics", *ALL)).json
        assert rest["changed"] > gone["globex"]
        assert told(await verified(rig, settings)) == []
        again = (await console.succeeds("backfill", "analytics", *ALL)).json
        assert (again["changed"], again["documents"]) == (0, rest["documents"])


async def test_beside_a_rebuild_it_is_refused(
    console: Console, rig: Rig, settings: AnalyticsSettings
) -> None:
    """Who holds the analytics is said; what belongs to the history is no option of it."""
    async with sinking(rig, settings):
        await caught_up(rig, settings)
    await lost(settings)
    async with beside(settings) as sets, SetsLock(sets.chroma, settings) as lock:
        refused = await console.run("backfill", "analytics", *ALL)
        holder = lock.token.rpartition(":")[0]
    assert (refused.code, holder in refused.err) == (Exit.REFUSED, True), refused.err
    misplaced = await console.run("backfill", "analytics", *ALL, "--skip-bad")
    assert (misplaced.code, "are for the history" in misplaced.err) == (Exit.USAGE, True), misplaced.err
