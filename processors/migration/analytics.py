"""The analytics in Chroma, as a migration deals with them: a set of collections is told by its number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.catalogue import TOPICS
from events.codec import open_codec
from events.partitioner import partition_of
from events.positions import Partition
from events.settings import LogSettings
from processors.migration.canary import Canary
from processors.migration.errors import NothingToRollBackError
from processors.migration.place import Estimate, Work, named
from processors.rebuild.analytics import AnalyticsRebuild
from processors.rebuild.analytics_back import turn_back
from processors.rebuild.errors import NotProvedError
from processors.rebuild.store_plan import StoreOptions
from projections.analytics.beside import beside
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoints
from projections.analytics.chroma import Chroma
from projections.analytics.documents import CARRIER, read_window
from projections.analytics.places import client, full_name
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from projections.analytics.windows import ASPECT_OF_TOPIC, Aspect, Window
from projections.made_with import MadeWith, Projection, made_with_release

TOPIC_OF_ASPECT = {aspect: topic for topic, aspect in ASPECT_OF_TOPIC.items()}


@dataclass(frozen=True, slots=True)
class AnalyticsPlace:
    """One prefix on one Chroma, whichever set is live."""

    log: LogSettings
    analytics: AnalyticsSettings
    projection: Projection = Projection.ANALYTICS

    @property
    def folders(self) -> Collection[str]:
        return [TOPICS[topic].folder for topic in AnalyticsSink.topics]

    async def made_with(self) -> Collection[MadeWith]:
        async with beside(self.analytics) as sets:
            live = (await sets.sets()).live
            if not any(one.next_offset for one in (await sets.checkpoints(live)).values()):
                return []
            made = await sets.made_with(live)
        return [] if made is None else [made]

    async def identity(self) -> str:
        async with beside(self.analytics) as sets:
            return str((await sets.sets()).live)

    async def estimate(self, archive: Path | None) -> Estimate:
        plan = (await self._rebuild(StoreOptions(archive=archive), None).plan()).store
        if plan.refusals:
            raise plan.refusals[0]
        return Estimate(plan.records, plan.estimated_s)

    async def rebuild(self, work: Work) -> Mapping[str, Any]:
        anew = await self._is_of_another_release()
        options = StoreOptions(work.max_events_per_s, anew=anew, archive=work.archive)
        outcome = await self._rebuild(options, work).run()
        if not outcome.is_live:
            raise NotProvedError(
                f"set {outcome.plan.number} of the collections is not what the log says, and was not made live: "
                f"{named(outcome.found.comparison)}"
            )
        return {
            "now": str(outcome.plan.number),
            "records": outcome.written,
            "proved": outcome.found.documents,
        }

    async def turn_back(self, before: str) -> int:
        async with beside(self.analytics) as sets:
            if str((await sets.sets()).before) != before:
                raise NothingToRollBackError(f"set {before} of the collections is not there any more")
        return (await turn_back(self.log, self.analytics)).behind

    def _rebuild(self, options: StoreOptions, work: Work | None) -> AnalyticsRebuild:
        async def trial(live: AnalyticsSettings, new: AnalyticsSettings) -> None:
            assert work is not None
            work.canary.judge(*(await self._answers(work.canary, live, new)))

        told, moved = (lambda _: None, lambda *_: None) if work is None else (work.told, work.moved)
        return AnalyticsRebuild(self.log, open_codec(self.log), options, told, moved, self.analytics, trial)

    async def _is_of_another_release(self) -> bool:
        """Whether the set that an interrupted rebuild has left was begun by another one."""
        async with beside(self.analytics) as sets:
            made = await sets.made_with((await sets.sets()).built)
        return made not in (None, made_with_release(Projection.ANALYTICS))

    async def _answers(
        self, canary: Canary, live: AnalyticsSettings, new: AnalyticsSettings
    ) -> list[dict[str, Any]]:
        """The sums of the chosen windows, but for those of which one side has more of the log than the other."""
        chroma = client(self.analytics, self.analytics.request_timeout_s)
        try:
            positions = [await self._positions(chroma, which) for which in (live, new)]
            names = {name for which in (live, new) for name in await _names(chroma, which)}
            chosen = canary.chosen(names)
            windows = [await _windows(chroma, which, chosen) for which in (live, new)]
        finally:
            await chroma.close()
        fit = [
            name
            for name in chosen
            if all(
                self._is_below(one.get(name), position)
                for one, position in zip(windows, reversed(positions), strict=True)
            )
        ]
        return [{name: one[name].sums for name in fit if name in one} for one in windows]

    def _is_below(self, window: Window | None, positions: Mapping[Partition, int]) -> bool:
        """Whether all that a window was made of is below these positions."""
        if window is None:
            return True
        key = window.key
        number = partition_of((key.tenant or key.provider).encode(), self.log.partitions)
        return window.applied <= positions.get(Partition(TOPIC_OF_ASPECT[key.aspect], number), 0)

    @staticmethod
    async def _positions(chroma: Chroma, which: AnalyticsSettings) -> dict[Partition, int]:
        held = await Checkpoints(chroma, full_name(which, CHECKPOINTS)).all()
        return {place: one.next_offset for place, one in held.items()}


async def _names(chroma: Chroma, which: AnalyticsSettings) -> list[str]:
    """Of the documents that carry the sums of a window: their aspects and ids, as many as an answer reads."""
    found = []
    for aspect in Aspect:
        collection = full_name(which, CARRIER[aspect])
        if await chroma.about(collection) is not None:
            where = {"aspect": {"$eq": aspect.value}}
            documents = await chroma.matching(collection, where, which.read_documents)
            found += [f"{aspect} {one.id}" for one in documents]
    return found


async def _windows(chroma: Chroma, which: AnalyticsSettings, names: Sequence[str]) -> dict[str, Window]:
    """The windows of those names that are there."""
    found: dict[str, Window] = {}
    for aspect in Aspect:
        ids = [name.removeprefix(f"{aspect} ") for name in names if name.startswith(f"{aspect} ")]
        collection = full_name(which, CARRIER[aspect])
        if ids and await chroma.about(collection) is not None:
            documents = (await chroma.by_id(collection, ids)).values()
            found |= {f"{aspect} {one.id}": read_window(one.metadata) for one in documents}
    return found
