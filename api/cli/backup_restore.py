"""`interlock backup restore`: a backup put back into an empty log, and proved to be there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.backup_parts import From, Id, chosen, damage_in
from api.cli.bar import counted
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_json, remark, say
from api.cli.restore import put_back

if TYPE_CHECKING:
    from api.settings import Settings
    from projections.backup.manifest import Backup
    from projections.backup.store import BackupStore


def restore(
    folder: From,
    name: Id = None,
    *,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Not into a log: write a new folder of an archive, for `interlock up` to begin from."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be restored, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the newest backup or the one that is named, put it back into an empty log, and read all of it back.

    No worker may run on that log meanwhile. Broken off, it goes on when it is run again. Live state, history and analytics
    follow from the log by `interlock work` and `interlock sink`; then `interlock verify` proves them.
    """
    from api.settings import load_settings

    settings = load_settings()
    store, backup = chosen(folder, name)
    refuse_damaged(store, backup)
    if into is None:
        _into_log(settings, store, backup, dry_run=dry_run, as_json=as_json)
    else:
        _into_folder(settings, store, backup, into, dry_run=dry_run, as_json=as_json)


def _into_log(
    settings: Settings, store: BackupStore, backup: Backup, *, dry_run: bool, as_json: bool
) -> None:
    from projections.backup.restore import check_fits, tell_group, until

    check_fits(backup, settings.log)
    source = settings.archive.model_copy(update={"folder": store.archive_of(backup.id)})
    about = {"backup": backup.id}
    if not put_back(source, settings, until(backup), dry_run=dry_run, as_json=as_json, about=about):
        return
    run(tell_group(backup, settings.log))
    remark(f"the log is that of backup {backup.id}: start workers and sinks, then `interlock verify`")


def _into_folder(
    settings: Settings, store: BackupStore, backup: Backup, into: Path, *, dry_run: bool, as_json: bool
) -> None:
    from projections.backup.lay_out import check_free, lay_out

    check_free(into)
    if not dry_run:
        target = settings.archive.model_copy(update={"folder": into})
        with counted("writing", "records") as moved:
            run(
                lay_out(
                    backup,
                    store.archive_of(backup.id),
                    target,
                    settings.log,
                    lambda done, of: moved(done, of, done),
                )
            )
    if as_json:
        print_json(
            {"backup": backup.id, "records": backup.records, "folder": str(into), "written": not dry_run}
        )
    else:
        verb = "would be written" if dry_run else "are written"
        say(
            f"{backup.records:,} records of backup {backup.id} {verb} to {into}: `interlock up` begins from there"
        )


def refuse_damaged(store: BackupStore, backup: Backup) -> None:
    """CommandError names the first file that is not what was written."""
    found = damage_in(store, [backup.id])[backup.id]
    if found:
        first = found[0]
        raise CommandError(
            f"backup {backup.id} is damaged in {len(found)} places, first {first.file} ({first.fault}: {first.detail}): choose "
            "another with --id"
        )
