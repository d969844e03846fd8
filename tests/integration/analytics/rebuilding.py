"""What the tests of rebuilt analytics share: a sink at work, somebody who asks, and a rebuild."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from events.positions import Partition
from processors.rebuild.analytics import TOPICS, AnalyticsOutcome, AnalyticsRebuild
from processors.rebuild.store_plan import StoreOptions
from projections.analytics.beside import Beside, beside
from projections.analytics.documents import USAGE
from projections.analytics.following import FollowingSink
from projections.analytics.library import Library
from projections.analytics.sets import Sets, live_set, set_of
from projections.analytics.settings import AnalyticsSettings
from tests.integration.analytics.on_a_log import told, verified
from tests.integration.live_server import eventually
from tests.integration.rig import Rig
from tests.integration.sinking import at_work

CAUGHT_UP_WITHIN_S = 60.0


@asynccontextmanager
async def sinking(rig: Rig, settings: AnalyticsSettings) -> AsyncIterator[None]:
    """A sink at work, which ends with all that the log has."""
    async with at_work(rig.log, FollowingSink(settings, rig.codec, rig.log)):
        yield


@asynccontextmanager
async def reading(settings: AnalyticsSettings) -> AsyncIterator[list[str]]:
    """Somebody who asks again and again; of each answer so far, whose documents it has. None may fail."""
    answers: list[str] = []

    async def ask(library: Library) -> None:
        while True:
            async with library.question() as shelves:
                await shelves.shelf(USAGE, {})
                answers.append(shelves.settings.collection_prefix)
            await asyncio.sleep(0.01)  # leave the others some of the processor

    async with Library(settings) as library:
        task = asyncio.create_task(ask(library))
        try:
            yield answers
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait([task])


async def positions(sets: Beside, number: int | None) -> dict[Partition, int]:
    """How far a set is."""
    return {place: one.next_offset for place, one in (await sets.checkpoints(number)).items()}


async def caught_up(rig: Rig, settings: AnalyticsSettings) -> None:
    """Return when the live set has all that the log has now."""
    ends = {
        Partition(topic, number): end
        for topic in TOPICS
        for number, end in (await rig.reader.ends(topic)).items()
    }

    async def has_all() -> bool:
        held = await positions(sets, (await sets.sets()).live)
        return all(held.get(place, 0) >= end for place, end in ends.items())

    async with beside(settings) as sets:
        await eventually(has_all, CAUGHT_UP_WITHIN_S)


async def sets_of(settings: AnalyticsSettings) -> Sets:
    """Which sets there are."""
    async with beside(settings) as sets:
        return await sets.sets()


def rebuild_of(rig: Rig, settings: AnalyticsSettings, **options: Any) -> AnalyticsRebuild:
    """A rebuild that tells nobody how far it is."""
    said: list[str] = []
    return AnalyticsRebuild(
        rig.log, rig.codec, StoreOptions(**options), said.append, lambda *_: None, settings
    )


async def rebuilt(rig: Rig, settings: AnalyticsSettings, **options: Any) -> AnalyticsOutcome:
    """Run one to its end."""
    return await rebuild_of(rig, settings, **options).run()


async def wrong(rig: Rig, settings: AnalyticsSettings, number: int | None = None) -> list[str]:
    """What of a set, the live one if none is named, is not what the log says."""
    which = await live_set(settings) if number is None else set_of(settings, number)
    return told(await verified(rig, which))
