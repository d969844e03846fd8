"""The analytics set right from the log beside a sink that goes on: documents of every kind; nothing is counted twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from processors.verify.analytics import AnalyticsProof
from processors.verify.errors import TakenBackError
from processors.verify.mended import Mended
from processors.verify.repair_analytics import repair_analytics
from projections.analytics.checkpoints import Checkpoints
from projections.analytics.documents import COST, PERFORMANCE, STATES, USAGE
from projections.analytics.settings import AnalyticsSettings
from projections.settings import LiveSettings
from tests.integration.analytics.on_a_log import (
    ONE_HOUR,
    hands_on,
    something_of_every_kind,
    told,
    verified,
    write,
)
from tests.integration.analytics.rebuilding import caught_up, sinking
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, usage

pytestmark = pytest.mark.any_broker


@pytest.fixture
async def rig(log_address: str) -> AsyncIterator[Rig]:
    """A log with something of every kind."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        yield opened


async def repaired(rig: Rig, settings: AnalyticsSettings) -> list[Mended]:
    """Set right what is found."""
    proof = AnalyticsProof(rig.log, settings, rig.codec, rig.reader, lambda *_: None)
    return await repair_analytics(proof, range(rig.log.partitions))


async def tamper(settings: AnalyticsSettings) -> None:
    """Sums, a text, a vector and a field too many; a removed document, a forged one and one of nothing."""
    async with hands_on(settings) as hands:
        [mine] = [one for one in await hands.all(USAGE) if one.metadata["user"] == "nobody-else"]
        sums = str(mine.metadata["sums"]).replace('"calls":1', '"calls":2')
        await hands.put(USAGE, replace(mine, metadata={**mine.metadata, "sums": sums, "applied": 10_000}))
        [cost] = [one for one in await hands.all(COST) if one.id == mine.id]
        await hands.put(COST, replace(cost, text="nothing", metadata={**cost.metadata, "extra": 1}))
        [performance] = [one for one in await hands.all(PERFORMANCE) if one.id == mine.id]
        await hands.put(PERFORMANCE, replace(performance, vector=[1.0, *performance.vector[1:]]))
        states = await hands.all(STATES)
        await hands.take(STATES, states[0])
        await hands.put(USAGE, replace(mine, id="00000000-0000-4000-8000-000000000000"))
        await hands.put(STATES, replace(states[1], id="nonsense", metadata={"aspect": "nonsense"}))


async def test_all_that_differs_is_mended_while_the_sink_goes_on(
    rig: Rig, settings: AnalyticsSettings
) -> None:
    """The sink forgets what it remembered of the windows, and counts on: in those that were mended, too."""
    async with sinking(rig, settings):
        await caught_up(rig, settings)
        await tamper(settings)
        done = [(one.key.partition(":")[0], one.done) for one in await repaired(rig, settings)]
        assert sorted(done) == [
            (COST, "written anew"),
            (PERFORMANCE, "written anew"),
            (STATES, "taken out"),
            (STATES, "written"),
            (USAGE, "taken out"),
            (USAGE, "written anew"),
        ]
        assert told(await verified(rig, settings)) == []
        await rig.append(usage("acme", **ONE_HOUR), *Traffic(rig).some(30))
        await caught_up(rig, settings)
        assert told(await verified(rig, settings)) == []
    assert await repaired(rig, settings) == []


async def test_who_loses_the_partition_takes_it_again_and_gives_up_at_last(
    rig: Rig, settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner comes between taking and writing: once, and each time."""
    await write(rig, settings)
    await tamper(settings)
    look, taken = Checkpoints.check, 0

    async def robbed(self: Checkpoints, place: object, *known: object) -> object:
        nonlocal taken
        if taken < most:
            taken += 1
            await self.take(place, "a sink")  # type: ignore[arg-type]
        return await look(self, place, *known)  # type: ignore[arg-type]

    monkeypatch.setattr(Checkpoints, "check", robbed)
    most = 1_000
    with pytest.raises(TakenBackError, match="stop `interlock sink analytics`"):
        await repaired(rig, settings)
    taken, most = 0, 1
    await repaired(rig, settings)
    assert taken == 1
    assert told(await verified(rig, settings)) == []
