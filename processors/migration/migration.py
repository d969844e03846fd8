"""A migration from what is stored to what this release makes: planned, noted step by step, and put back."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.broker import missing_topics
from events.registry import open_registry, unregistered
from events.settings import LogSettings
from processors.migration.errors import NothingToRollBackError, OtherReleaseError
from processors.migration.journal import Journal, Written
from processors.migration.place import Place, Work
from processors.migration.plan import Found, steps_of
from processors.migration.steps import REBUILDS, Step
from projections.history.settings import HistorySettings
from projections.live.store import LiveStore
from projections.made_with import Projection, made_with_release


@dataclass(frozen=True, slots=True)
class PutBack:
    """A projection that is as it was: `behind` is how many records are folded or written into it now."""

    projection: Projection
    was: str
    now: str
    behind: int


@dataclass(frozen=True, slots=True)
class Migration:
    """`places` are the projections that are configured, in the order in which they are built anew."""

    log: LogSettings
    store: LiveStore
    history: HistorySettings
    places: Mapping[Projection, Place]

    @property
    def journal(self) -> Journal:
        """What is noted of the last one."""
        return Journal(self.store)

    async def begun(self) -> Written | None:
        """The one that is not done yet; None when there is none. OtherReleaseError when another release has begun it."""
        written = await self.journal.read()
        if written is None or not written.left:
            return None
        if written.release != _release():
            raise OtherReleaseError(
                "another release has begun a migration and not ended it: end it with that one, put it back with `interlock "
                "migrate rollback`, or plan again with `interlock migrate run --anew --dry-run`"
            )
        return written

    async def plan(self, wanted: Collection[Projection]) -> tuple[Step, ...]:
        """What is to be done now, in order; what is wanted is built anew in any case. Changes nothing."""
        log = self.log
        found = Found(
            await missing_topics(log),
            unregistered(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder)),
            await self._tables(),
            {projection: await place.made_with() for projection, place in self.places.items()},
        )
        release = {projection: made_with_release(projection) for projection in self.places}
        folders = {projection: place.folders for projection, place in self.places.items()}
        return steps_of(found, release, folders, wanted)

    async def begin(self, steps: Sequence[Step]) -> Written:
        """Note the plan in the place of that of the last one."""
        written = Written(time.time_ns() // 1000, _release(), steps)
        await self.journal.begin(written)
        return written

    async def rebuild(self, projection: Projection, work: Work) -> Mapping[str, Any]:
        """Build it anew and make it live, unless that was done before this was noted."""
        place = self.places[projection]
        now = await place.identity()
        before = await self.journal.comes_from(projection, now)
        if now != before:
            return {"before": before, "now": now}
        figures = await place.rebuild(work)
        canary = {"asked": work.canary.asked, "differ": len(work.canary.differences)}
        return {"before": before, **figures, "canary": canary}

    async def roll_back(self) -> list[PutBack]:
        """Put back what the last one has made live, the last first. NothingToRollBackError."""
        written = await self.journal.read()
        flips = [] if written is None else await self._flips(written)
        if not flips:
            raise NothingToRollBackError(
                "no migration has made anything live that is so still: there is nothing to put back. What there is: "
                "`interlock generations list`, and --back of `interlock rebuild history` and `interlock rebuild analytics`"
            )
        done = []
        for projection, was, before in flips:
            behind = await self.places[projection].turn_back(before)
            await self.journal.is_back(projection)
            done.append(PutBack(projection, was, before, behind))
        await self.journal.end()
        return done

    async def _flips(self, written: Written) -> list[tuple[Projection, str, str]]:
        """Which projections, what is live of each, and what was before. All is looked at before anything is changed."""
        flips = []
        for projection in reversed(list(self.places)):
            before = written.came_from.get(projection)
            if before is None or projection in written.back:
                continue
            now = await self.places[projection].identity()
            made = written.done.get(REBUILDS[projection], {}).get("now", now)
            if now not in {before, made}:
                raise NothingToRollBackError(
                    f"{projection}: the migration has made {made} live, and {now} is so by now: somebody has switched since. "
                    "Nothing was changed"
                )
            if now != before and before:
                flips.append((projection, now, before))
        return flips

    async def _tables(self) -> tuple[str | None, str] | None:
        history = self.history
        if history.postgres_dsn is None:
            return None
        from projections.history.migrations.migrate import current_revision, newest_revision

        bound_s = history.migrate_timeout_s
        current = await current_revision(history.postgres_dsn, history.schema_name, timeout_s=bound_s)
        return current, newest_revision()


def _release() -> dict[str, str]:
    return {projection.value: made_with_release(projection).to_text() for projection in Projection}


def rebuilds_of(steps: Collection[Step]) -> list[Projection]:
    """The projections that are built anew by these steps."""
    names = {step.name for step in steps}
    return [projection for projection, name in REBUILDS.items() if name in names]
