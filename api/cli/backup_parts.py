"""What the commands about backups share: where they lie, which one is meant, and a reading of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import finish
from api.cli.output import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.backup.manifest import Backup
    from projections.backup.store import BackupStore
    from projections.backup.verify import Damage

From = Annotated[Path, typer.Option("--from", help="Folder of the backups.")]
Id = Annotated[
    str | None, typer.Option("--id", help="Name of the backup, as `interlock backup list` shows it.")
]


def chosen(folder: Path, name: str | None) -> tuple[BackupStore, Backup]:
    """The backup of that name, else the newest."""
    from projections.backup.store import BackupStore

    store = BackupStore(folder)
    return store, store.chosen(name)


def damage_in(store: BackupStore, names: Sequence[str]) -> dict[str, list[Damage]]:
    """What is wrong with each of them, with a bar on stderr."""
    from projections.backup.verify import Verifier

    with progress("reading backups", len(names)) as bar:
        verifier, found = Verifier(store), {}
        for name in names:
            found[name] = finish(partial(verifier.damage_of, name))
            bar.advance(bar.task_ids[0])
    return found


def backup_document(backup: Backup) -> dict[str, Any]:
    """As JSON, without its files."""
    from api.rfc3339 import format_time_us

    return {
        "id": backup.id,
        "kind": backup.kind.value,
        "parent": backup.parent.id if backup.parent else None,
        "captured_at": format_time_us(backup.point.captured_us),
        "records": backup.records,
        "files": len(backup.files),
        "bytes": backup.size,
        "copied_bytes": backup.copied,
        "positions": {str(place): offset for place, offset in sorted(backup.point.positions.items())},
        "interlock": backup.interlock,
        "sha256": backup.hash,
    }


def damage_documents(found: Sequence[Damage]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{"file": one.file, "fault": one.fault.value, "detail": one.detail} for one in found]


def written_age(seconds: float) -> str:
    """For people: the two largest units."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h} h"
    if hours:
        return f"{hours} h {m} min"
    return f"{minutes} min {s} s" if minutes else f"{s} s"
