"""The repair of the analytics killed at each of its steps beside a sink at work, and run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.analytics.documents import COST, STATES, USAGE
from projections.analytics.settings import AnalyticsSettings
from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.analytics.on_a_log import (
    ONE_HOUR,
    hands_on,
    something_of_every_kind,
    told,
    verified,
)
from tests.integration.analytics.rebuilding import caught_up, sinking
from tests.integration.crew import environment_of
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import usage

pytestmark = pytest.mark.any_broker


async def test_a_repair_killed_at_each_of_its_steps(
    log_address: str, settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Partitions are the sink's again, documents that were taken out are written by the next, and nothing counts twice."""
    async with (
        Rig(settings_of_worker(log_address), LiveSettings()) as rig,
        hands_on(settings) as hands,
        sinking(rig, settings),
    ):
        await something_of_every_kind(rig)
        await caught_up(rig, settings)
        for collection in (COST, USAGE, STATES):
            some = await hands.all(collection)
            await hands.take(collection, some[0])
        console = Console(tmp_path, environment_of("LOG", rig.log) | environment_of("ANALYTICS", settings))
        repair = ("verify", "analytics", "--repair", "--json")
        for moment in (
            "after projections.analytics.chroma:Chroma.delete",
            "after processors.verify.repair_analytics:_GroupRepair._write",
        ):
            await console.killed(moment, *repair)
        ended = (await console.succeeds(*repair)).json
        assert ended["equal"]
        assert [line for line in ended["repaired"] if line.endswith("written")]
        await rig.append(usage("acme", **ONE_HOUR))
        await caught_up(rig, settings)
        assert told(await verified(rig, settings)) == []
