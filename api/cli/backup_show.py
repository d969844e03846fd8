"""`interlock backup list` and `verify`: what backups there are, and whether they are what was written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from api.cli.backup_parts import From, Id, backup_document, damage_documents, damage_in, written_age
from api.cli.exits import CommandError, Exit
from api.cli.output import AsJson, print_json, print_table, say

if TYPE_CHECKING:
    from projections.backup.manifest import Backup
    from projections.backup.store import BackupStore


def list_backups(folder: From, *, as_json: AsJson = False) -> None:
    """Show the backups with their ages and sizes, oldest first, by their manifests alone."""
    from projections.backup.store import BackupStore
    from projections.retention.amounts import written_size

    store = BackupStore(folder)
    found = [_read(store, name) for name in store.ids()]
    now_s = time.time()
    if as_json:
        print_json([_document(one, now_s) for one in found])
        return
    cells = []
    for name, backup, why in found:
        if backup is None:
            cells.append((name, "DAMAGED", "", "", "", "", why))
            continue
        age = written_age(now_s - backup.point.captured_us / 1e6)
        sizes = written_size(backup.size), written_size(backup.copied)
        cells.append((name, backup.kind.value, age, f"{backup.records:,}", *sizes, ""))
    columns = ("backup", "kind", "age", "records", "size", "copied", "")
    print_table(columns, cells, empty=f"no backup in {folder}")


def verify(folder: From, name: Id = None, *, as_json: AsJson = False) -> None:
    """Read every file of the backups, or of one, and follow their chains. Exit code 1 when something is wrong."""
    from projections.backup.store import BackupStore

    store = BackupStore(folder)
    names = [name] if name else store.ids()
    if not names:
        raise CommandError(f"no backup in {folder}: `interlock backup create --to` makes one", Exit.NOT_FOUND)
    found = damage_in(store, names)
    if as_json:
        print_json([{"id": one, "damage": damage_documents(found[one])} for one in names])
    else:
        cells = [(one, f"{len(found[one])} faults" if found[one] else "whole") for one in names]
        print_table(("backup", ""), cells, empty="")
        for damage in (damage for one in names for damage in found[one]):
            say(f"{damage.fault}: {damage.file}: {damage.detail}")
    if damaged := [one for one in names if found[one]]:
        raise CommandError(f"damaged: {', '.join(damaged)}; `interlock backup create --full` makes another")


def _read(store: BackupStore, name: str) -> tuple[str, Backup | None, str]:
    from projections.backup.errors import DamagedBackupError

    try:
        return name, store.read(name), ""
    except DamagedBackupError as error:
        return name, None, str(error)


def _document(found: tuple[str, Backup | None, str], now_s: float) -> dict[str, Any]:
    name, backup, why = found
    if backup is None:
        return {"id": name, "damaged": why}
    return backup_document(backup) | {"age_s": round(now_s - backup.point.captured_us / 1e6, 3)}
