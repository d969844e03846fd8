"""`interlock backup create`: one more backup, of all that the log holds now."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.archive import archive_in
from api.cli.backup_parts import backup_document
from api.cli.bar import counted
from api.cli.exits import CommandError, finish, run
from api.cli.output import AsJson, print_facts, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.settings import Settings
    from projections.backup.create import Making
    from projections.backup.manifest import Backup, Point
    from projections.backup.store import BackupStore


def create(
    *,
    to: Annotated[Path, typer.Option("--to", help="Folder of the backups; is made when it is not there.")],
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive",
            help="Folder of the archive; default: the setting archive.folder, else that of `interlock up`.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Copy all files, also those that the backup before has.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove older backups afterwards, so that so many are left.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds that the archive may take to reach the log's end.")
    ] = 120.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the log up to where it ends now, out of the archive once that has reached it. Killed, it leaves no backup.

    What the newest backup has as well is linked, not copied, unless --full; still each can be restored by itself.
    """
    from api.settings import load_settings
    from api.version import VERSION
    from projections.backup.create import Making
    from projections.backup.store import BackupStore

    settings, store = load_settings(), BackupStore(to)
    source = archive_in(settings, archive).folder
    assert source is not None
    if dry_run:
        making = Making(source, settings.log, store, VERSION, _parent(store, full=full))
        removes = store.surplus(keep - 1) if keep and to.is_dir() else []
        _show_plan(making, run(_captured(settings)), removes, as_json)
        return
    started_s = time.monotonic()
    with store.locked():
        backup = made(settings, source, store, wait_s, full=full)
        removed = store.surplus(keep) if keep else []
        for name in removed:
            finish(partial(store.remove, name))
    _show(backup, removed, time.monotonic() - started_s, as_json)


def made(settings: Settings, source: Path, store: BackupStore, wait_s: float, *, full: bool) -> Backup:
    """One more in a store that is locked, with a bar on stderr."""
    from api.version import VERSION
    from projections.backup.create import Making

    making = Making(source, settings.log, store, VERSION, _parent(store, full=full))
    point = run(_reached(settings, source, wait_s))
    return finish(partial(_copied, making, point))


async def _captured(settings: Settings) -> Point:
    from projections.backup.point import capture

    return await capture(settings.log)


async def _reached(settings: Settings, archive: Path, wait_s: float) -> Point:
    from projections.backup.create import reach, whole_parts

    point = await _captured(settings)
    await asyncio.to_thread(whole_parts, archive, point.positions)
    await reach(archive, settings.log, point.positions, wait_s)
    return point


def _parent(store: BackupStore, *, full: bool) -> Backup | None:
    """The backup whose files may be linked."""
    from projections.backup.errors import DamagedBackupError

    if full:
        return None
    try:
        return store.newest()
    except DamagedBackupError as error:
        raise CommandError(f"{error}: --full makes a backup that shares nothing with it") from None


def _copied(making: Making, point: Point) -> Backup:
    from projections.backup.create import copy

    with counted("copying", "bytes") as moved:
        return copy(making, point, lambda done, total: moved(done, total, done))


def _show_plan(making: Making, point: Point, removes: Sequence[str], as_json: bool) -> None:
    from projections.archive.settings import ArchiveSettings
    from projections.archive.status import status_of
    from projections.backup.create import whole_parts

    finish(partial(whole_parts, making.archive, point.positions))
    held = {one.place: one.next_offset for one in status_of(ArchiveSettings(folder=making.archive))}
    archived = sum(min(end, held.get(place, 0)) for place, end in point.positions.items())
    records = sum(point.positions.values())
    parent = making.parent.id if making.parent else None
    if as_json:
        print_json({"records": records, "archived": archived, "parent": parent, "removes": removes})
        return
    facts = [
        ("records", f"{records:,} on the log, {archived:,} of them in the archive"),
        ("kind", f"incremental, after {parent}" if parent else "full"),
        ("removes", ", ".join(removes)),
    ]
    print_facts(facts)


def _show(backup: Backup, removed: Sequence[str], took_s: float, as_json: bool) -> None:
    from projections.retention.amounts import written_size

    if as_json:
        print_json(backup_document(backup) | {"removed": removed, "took_s": round(took_s, 3)})
        return
    parent = f", after {backup.parent.id}" if backup.parent else ""
    facts = [
        ("backup", backup.id),
        ("kind", f"{backup.kind}{parent}"),
        ("records", f"{backup.records:,} in {len(backup.point.positions)} partitions"),
        ("size", f"{written_size(backup.size)}, of which {written_size(backup.copied)} were copied"),
        ("took", f"{took_s:.1f} s"),
        ("removed", ", ".join(removed)),
    ]
    print_facts(facts)
