"""What the commands of a migration share: the migration of the settings, what was asked of it, and what is next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from api.cli.exits import CommandError, Exit
from api.cli.verify_parts import proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.migration.journal import Written
    from processors.migration.migration import Migration
    from processors.migration.place import Estimate, Place
    from processors.migration.steps import Name, Step
    from projections.made_with import Projection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a run."""

    backup: Path | None = None
    canary: float = 0.0
    tolerate: int = 0
    archive: Path | None = None
    max_events_per_s: int | None = None
    skip_bad: bool = False
    wait_s: float = 0.0
    no_backup: bool = False

    def require_backup(self) -> None:
        """CommandError when neither a folder is named nor none is wanted."""
        if self.backup is None and not self.no_backup:
            raise CommandError(
                "say where the backup goes that is taken first, --backup DIR; or --no-backup, without one",
                Exit.USAGE,
            )


def migrated(settings: Settings, work: Callable[[Migration], Awaitable[T]]) -> T:
    """What some work on the migration of these settings comes to."""
    return proved(_migrated(settings, work))


async def _migrated(settings: Settings, work: Callable[[Migration], Awaitable[T]]) -> T:
    from processors.migration.migration import Migration
    from projections.live.store import LiveStore

    async with LiveStore(settings.live) as store:
        return await work(Migration(settings.log, store, settings.history, places_of(settings)))


def places_of(settings: Settings) -> dict[Projection, Place]:
    """The projections that are configured. What the others need is not imported."""
    from dataclasses import fields

    from api.kinds import Kinds
    from processors.migration.live import LivePlace

    kinds = Kinds.of(settings.live.cache_ttls)
    log, places = settings.log, list["Place"]()
    places.append(LivePlace(log, settings.live, [getattr(kinds, field.name) for field in fields(kinds)]))
    if settings.history.postgres_dsn is not None:
        from processors.migration.history import HistoryPlace

        places.append(HistoryPlace(log, settings.history))
    if settings.analytics.chroma_url is not None:
        from processors.migration.analytics import AnalyticsPlace

        places.append(AnalyticsPlace(log, settings.analytics))
    return {place.projection: place for place in places}


async def next_steps(
    migration: Migration, names: Collection[str], *, anew: bool
) -> tuple[Written | None, Sequence[Step]]:
    """What was begun and its steps that are left; else None and the steps of a new plan."""
    written = None if anew else await migration.begun()
    if written is None:
        return None, await migration.plan(_wanted(migration, names))
    if names:
        raise CommandError(
            "a migration was begun and goes on as it was planned: name no projections, or forget it with --anew",
            Exit.USAGE,
        )
    return written, written.left


def _wanted(migration: Migration, names: Collection[str]) -> list[Projection]:
    there = {projection.value: projection for projection in migration.places}
    unknown = sorted(set(names) - there.keys())
    if unknown:
        raise CommandError(
            f"there is no {unknown[0]} here to build anew: configured are {', '.join(there)}", Exit.USAGE
        )
    return [there[name] for name in there if name in names]


def estimates(settings: Settings, steps: Sequence[Step], archive: Path | None) -> dict[Name, Estimate]:
    """What the rebuilds among the steps have to read, once all topics are there. Raises what forbids one."""
    from processors.migration.migration import rebuilds_of
    from processors.migration.steps import REBUILDS, Name

    if any(step.name is Name.TOPICS for step in steps):
        return {}
    places = places_of(settings)
    return {REBUILDS[one]: proved(places[one].estimate(archive)) for one in rebuilds_of(steps)}
