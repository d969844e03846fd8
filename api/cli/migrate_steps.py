"""How each step of a migration is done, by what the other commands do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from api.cli.archive import archive_in
from api.cli.backup_create import made
from api.cli.bar import counted
from api.cli.exits import CommandError, Exit, run
from api.cli.garbage import collect_seldom
from api.cli.migrate_parts import Asked, migrated
from api.cli.output import remark
from api.cli.verify_all import looks_at, outcome_of

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.migration.steps import Name, Step
    from projections.made_with import Projection

Figures = Mapping[str, Any]

ARCHIVED_WITHIN_S = 120.0
"""How long the archive may take to reach the log's end before a backup."""


def carry_out(settings: Settings, asked: Asked, steps: Sequence[Step], rebuilt: Sequence[Projection]) -> None:
    """Do them in their order, and note each when it is done. `rebuilt` are all that the migration builds anew."""
    collect_seldom()
    doing = Doing(settings, asked, rebuilt)
    for number, step in enumerate(steps, start=1):
        remark(f"step {number} of {len(steps)}: {step.name}: {step.does} ({step.why})")
        doing.noted(step.name)
    migrated(settings, lambda migration: migration.journal.end())


def back_up(settings: Settings, asked: Asked) -> Figures:
    """Take the backup that was asked for."""
    from projections.backup.store import BackupStore

    assert asked.backup is not None, "asked for before"
    source = archive_in(settings, asked.archive).folder
    assert source is not None
    store = BackupStore(asked.backup)
    with store.locked():
        backup = made(settings, source, store, ARCHIVED_WITHIN_S, full=False)
    return {"id": backup.id, "records": backup.records, "bytes": backup.size}


@dataclass(frozen=True, slots=True)
class Doing:
    """Each method does a step and returns its figures."""

    settings: Settings
    asked: Asked
    rebuilt: Sequence[Projection]

    def noted(self, name: Name) -> None:
        """Do a step, and note that it is done."""
        figures = self._do(name)
        migrated(self.settings, lambda migration: migration.journal.done(name, figures))

    def _do(self, name: Name) -> Figures:
        from processors.migration.steps import Name
        from projections.made_with import Projection

        match name:
            case Name.BACKUP:
                return back_up(self.settings, self.asked)
            case Name.TOPICS:
                return self._topics()
            case Name.SCHEMAS:
                return self._schemas()
            case Name.TABLES:
                return self._tables()
            case Name.VERIFY_BEFORE:
                return self._verified(must_be_equal=False)
            case Name.LIVE | Name.HISTORY | Name.ANALYTICS:
                return self._rebuilt(Projection(name.value))
            case Name.VERIFY_AFTER:
                return self._verified(must_be_equal=True)
            case _:
                assert_never(name)

    def _topics(self) -> Figures:
        from events.broker import create_topics

        states = run(create_topics(self.settings.log))
        return {"created": [one.full_name for one in states if one.created]}

    def _schemas(self) -> Figures:
        from events.catalogue import TOPICS
        from events.registry import open_registry

        log = self.settings.log
        registry = open_registry(log.registry_url, log.topic_prefix, log.schemas_folder)
        return {"ids": {name: registry.newest(topic)[0] for name, topic in TOPICS.items()}}

    def _tables(self) -> Figures:
        from projections.history.database import Database
        from projections.history.migrations.migrate import newest_revision

        run(Database(self.settings.history).migrate())
        return {"revision": newest_revision()}

    def _rebuilt(self, projection: Projection) -> Figures:
        from processors.migration.canary import Canary
        from processors.migration.place import Work

        asked = self.asked
        canary = Canary(asked.canary, asked.tolerate, remark)
        with counted(f"building {projection}", "events") as moved:
            work = Work(canary, remark, moved, asked.max_events_per_s, asked.skip_bad, asked.archive)
            return migrated(self.settings, lambda migration: migration.rebuild(projection, work))

    def _verified(self, *, must_be_equal: bool) -> Figures:
        """By the naive folds. Before, what differs is told and stops nothing: another fold says otherwise on purpose."""
        archive = self.asked.archive
        looks = looks_at(self.settings, archive, archive, repair=False)
        outcomes = [outcome_of(one.value, "", looks[one]) for one in self.rebuilt]
        for one in outcomes:
            if one.found is not None:
                remark(
                    f"{one.projection} is {one.result}: {one.found.differ:,} of {one.found.compared:,} {one.found.unit}"
                )
        wrong = [one for one in outcomes if one.code is not Exit.OK and (must_be_equal or one.found is None)]
        if wrong:
            then = " `interlock migrate rollback` puts back what was live before" if must_be_equal else ""
            raise CommandError(
                f"{wrong[0].projection} {wrong[0].result} {wrong[0].why}: `interlock verify {wrong[0].projection}` tells all "
                f"of it.{then}",
                wrong[0].code,
            )
        return {
            one.projection: {"result": one.result, "compared": one.found.compared, "differ": one.found.differ}
            for one in outcomes
            if one.found is not None
        }
