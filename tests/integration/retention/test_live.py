"""The live store among those that must have consumed what goes: its generation by name, and one that is being built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from events.reader import LogReader
from events.settings import LogSettings
from projections.live.commit import Commit
from projections.live.generations import Generations, Known, Stage
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.retention.inventory import planned
from projections.retention.steps import Plan
from projections.settings import LiveSettings
from tests.integration.live_server import LiveServer
from tests.integration.retention.place import NOW_US, Place, place, policies, usage_over_months

pytestmark = pytest.mark.any_broker

WANTED = policies("store: history\ntopics: [usage]\nolder_than: 90d\naction: delete")


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveSettings]:
    """An empty live store."""
    async with LiveServer(tmp_path / "valkey") as server:
        yield server.settings()


async def fold_all(found: Place, settings: LiveSettings) -> None:
    """Move every slot of the generation to the end of the log, as its workers would."""
    ends = await LogReader(found.log).ends("usage")
    async with LiveStore(settings) as store:
        for number, end in ends.items():
            lease = await store.acquire(Slot("usage", number), "worker")
            if end:
                await store.commit(lease, Commit({"usage": (0, end)}, {}, (), clock_us=1))


async def plan_of(found: Place, settings: LiveSettings) -> Plan:
    async with LiveStore(settings) as store:
        stores = replace(found.stores, live=store)
        return (await planned(stores, WANTED, NOW_US))[0]


async def test_the_live_store_has_to_have_folded_what_goes(
    postgres: PostgresServer, log_settings: LogSettings, live: LiveSettings, tmp_path: Path
) -> None:
    """A live store that was flushed holds everything back; once it has caught up, months go."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        plan = await plan_of(found, live)
        assert not plan.steps
        assert "live has consumed usage-" in plan.held_back[0].why
        await fold_all(found, live)
        assert (await plan_of(found, live)).steps


async def test_a_generation_that_is_being_built_still_needs_the_log(
    postgres: PostgresServer, log_settings: LogSettings, live: LiveSettings, tmp_path: Path
) -> None:
    """Nothing goes before it has caught up too; and after a cut-over it is the one that is asked."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        await fold_all(found, live)
        second = live.model_copy(update={"generation": 2})
        async with LiveStore(live) as store:
            generations = Generations(store.connection, live.namespace)
            await generations.note(2, Known(Stage.BUILDING, built_from=1, noted_us=NOW_US))
            plan = await plan_of(found, live)
            assert not plan.steps
            assert "generation 2 that is being built has consumed" in plan.held_back[0].why
            await fold_all(found, second)
            assert (await plan_of(found, live)).steps
            await store.name_live(2)
            assert (await plan_of(found, live)).steps
