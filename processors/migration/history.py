"""The history in Postgres, as a migration deals with it: a schema is told by its oid, which it keeps whatever its name."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.catalogue import TOPICS
from events.codec import open_codec
from events.envelope import deployment_name
from events.settings import LogSettings
from processors.migration.canary import Canary
from processors.migration.errors import NothingToRollBackError
from processors.migration.place import Estimate, Work, named
from processors.rebuild.errors import NotProvedError
from processors.rebuild.history import HistoryRebuild
from processors.rebuild.history_back import turn_back
from processors.rebuild.store_plan import StoreOptions
from projections.history.beside import Beside, next_of
from projections.history.queries.as_of import breakers_as_of
from projections.history.queries.ranking import Measure, split
from projections.history.queries.reader import HistoryReader
from projections.history.queries.scope import Scope
from projections.history.queries.span import Span
from projections.history.queries.usage import Dimension
from projections.history.rollups import Grain
from projections.history.session import session_of
from projections.history.settings import HistorySettings
from projections.made_with import MadeWith, Projection, made_with_release

USAGE = "usage of "
BREAKER = "breaker "
MOST_GROUPS = 10_000


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """One schema of one Postgres, whichever is live."""

    log: LogSettings
    history: HistorySettings
    projection: Projection = Projection.HISTORY

    @property
    def folders(self) -> Collection[str]:
        return [topic.folder for topic in TOPICS.values()]

    async def made_with(self) -> Collection[MadeWith]:
        async with session_of(self.history, "interlock-plan") as session:
            schemas = Beside(session, self.history)
            if not any((await schemas.positions(schemas.live)).values()):
                return []
            made = await schemas.made_with(schemas.live)
        return [] if made is None else [made]

    async def identity(self) -> str:
        async with session_of(self.history, "interlock-plan") as session:
            return await Beside(session, self.history).identity(self.history.schema_name)

    async def estimate(self, archive: Path | None) -> Estimate:
        plan = await self._rebuild(StoreOptions(archive=archive), None).plan()
        if plan.refusals:
            raise plan.refusals[0]
        return Estimate(plan.records, plan.estimated_s)

    async def rebuild(self, work: Work) -> Mapping[str, Any]:
        options = StoreOptions(
            work.max_events_per_s,
            work.skips_bad,
            await self._is_of_another_release(),
            archive=work.archive,
        )
        outcome = await self._rebuild(options, work).run()
        if not outcome.is_live:
            raise NotProvedError(
                f"the schema {next_of(self.history).schema_name} is not what the log says, and was not made live: "
                f"{named(outcome.found.comparison)}"
            )
        return {
            "now": await self.identity(),
            "records": outcome.written,
            "proved": outcome.found.records,
            "still_s": round(outcome.still_s, 3),
            "months_that_differ": sum(not month.is_equal for month in outcome.months),
        }

    async def turn_back(self, before: str) -> int:
        async with session_of(self.history, "interlock-plan") as session:
            schemas = Beside(session, self.history)
            if await schemas.identity(schemas.before) != before:
                raise NothingToRollBackError(f"{schemas.before} is not the schema that was live before")
        return (await turn_back(self.log, self.history)).behind

    def _rebuild(self, options: StoreOptions, work: Work | None) -> HistoryRebuild:
        async def trial(live: HistorySettings, new: HistorySettings) -> None:
            assert work is not None
            work.canary.judge(*(await self._answers(work.canary, live, new)))

        told, moved = (lambda _: None, lambda *_: None) if work is None else (work.told, work.moved)
        return HistoryRebuild(self.log, open_codec(self.log), options, told, moved, self.history, trial)

    async def _is_of_another_release(self) -> bool:
        """Whether the schema that an interrupted rebuild has left was begun by another one."""
        async with session_of(self.history, "interlock-plan") as session:
            schemas = Beside(session, self.history)
            made = await schemas.made_with(schemas.built)
        return made not in (None, made_with_release(Projection.HISTORY))

    async def _answers(
        self, canary: Canary, live: HistorySettings, new: HistorySettings
    ) -> list[dict[str, Any]]:
        """What each says of the usage of the chosen tenants, and of the chosen breakers as they are now."""
        now_us = time.time_ns() // 1000
        async with HistoryReader(live) as old, HistoryReader(new) as built:
            names = {name for reader in (old, built) for name in await _names(reader)}
            chosen = canary.chosen(names)
            return [{name: await _answer(reader, name, now_us) for name in chosen} for reader in (old, built)]


async def _names(reader: HistoryReader) -> list[str]:
    """What can be asked, by the smallest table that tells."""
    rows = await reader.rows("select distinct tenant, provider, model, region from usage_by_day")
    tenants = {USAGE + row["tenant"] for row in rows}
    deployments = {deployment_name(row["provider"], row["model"], row["region"] or None) for row in rows}
    return [*tenants, *(BREAKER + name for name in deployments)]


async def _answer(reader: HistoryReader, name: str, now_us: int) -> Any:
    if name.startswith(BREAKER):
        deployment = name.removeprefix(BREAKER)
        return (await breakers_as_of(reader, now_us, Scope.of_deployment(deployment))).get(deployment)
    day_us = Grain.DAY.length_us
    always = Span(0, now_us // day_us * day_us + day_us)
    by, filters = (Dimension.PROVIDER, Dimension.MODEL), {"tenant": name.removeprefix(USAGE)}
    return await split(reader, always, by, filters, measure=Measure.CALLS, limit=MOST_GROUPS)
