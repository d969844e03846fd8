"""`interlock backup drill`: whether a backup can be put back, how long that takes, and how much would be lost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.backup_parts import From, Id, chosen, written_age
from api.cli.backup_restore import refuse_damaged
from api.cli.comparison import comparison_document
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_facts, print_json, print_table, progress, say

if TYPE_CHECKING:
    from api.drill import DrillFound
    from api.settings import Settings
    from projections.backup.manifest import Backup
    from projections.backup.store import BackupStore

SHOWN_OF_EACH = 10


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be lost if all but the backup went now. `records`: on the log and not in it; None when no log answers.

    `interval_s` is the longest time between two backups that are there; None while there is one only.
    """

    age_s: float
    records: int | None
    interval_s: float | None


def drill(
    folder: From,
    name: Id = None,
    *,
    scratch: Annotated[
        Path | None,
        typer.Option(help="Folder below which the copy is built; default: that of temporary files."),
    ] = None,
    within_s: Annotated[
        float, typer.Option("--within", min=1, help="Seconds that folding and writing may take, each.")
    ] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Restore the newest backup, or the one that is named, on scratch servers; prove it and say how long it took.

    RPO is what would be lost, RTO how long it took until log, live state, history and analytics were back. Nothing that runs
    is touched, and nothing is left behind. Exit code 1 when anything is not equal.
    """
    from api.drill import Drill, Phase
    from api.settings import load_settings
    from embedded.errors import EmbeddedError

    settings = load_settings()
    store, backup = chosen(folder, name)
    begun_s = time.monotonic()
    refuse_damaged(store, backup)
    read = Phase("backup read and verified", time.monotonic() - begun_s, back=True)
    loss = run(_loss(settings, store, backup))
    archive = store.archive_of(backup.id)
    with (
        tempfile.TemporaryDirectory(prefix="interlock-drill-", dir=scratch) as built,
        progress("starting servers", None) as bar,
    ):

        def told(what: str) -> None:
            bar.update(bar.task_ids[0], description=what)

        try:
            found = run(Drill(backup, archive, settings, Path(built), within_s, told, [read]).run())
        except EmbeddedError as error:
            raise CommandError(f"backup {backup.id} was not restored: {error}") from None
    _show(backup, found, loss, as_json)
    if found.unequal:
        raise CommandError(
            f"not what the log says: {', '.join(found.unequal)}; backup {backup.id} is no good"
        )


async def _loss(settings: Settings, store: BackupStore, backup: Backup) -> Loss:
    from events.errors import LogUnavailableError
    from projections.backup.point import capture

    records: int | None = None
    try:
        now = (await capture(settings.log)).positions
        below = backup.point.positions
        records = sum(max(0, end - below.get(place, 0)) for place, end in now.items())
    except LogUnavailableError:
        pass
    times_us = [one.point.captured_us for one in store.whole()]
    gaps = [(after - before) / 1e6 for before, after in pairwise(times_us)]
    return Loss(time.time() - backup.point.captured_us / 1e6, records, max(gaps, default=None))


def _show(backup: Backup, found: DrillFound, loss: Loss, as_json: bool) -> None:
    from api.drill import ANALYTICS_BACK, HISTORY_BACK, LIVE_BACK

    ends = (("live", LIVE_BACK), ("history", HISTORY_BACK), ("analytics", ANALYTICS_BACK))
    rto = {f"{name}_s": round(found.rto_s(phase), 3) for name, phase in ends}
    if as_json:
        print_json(_document(backup, found, loss) | {"rto": rto})
        return
    phases = [(one.name, f"{one.took_s:.1f} s", "RTO" if one.back else "") for one in found.phases]
    print_table(("phase", "took", "in"), phases, empty="")
    cells = [
        ("log", f"{sum(one.next_offset for one in found.log):,} records"),
        ("live", f"{sum(one.keys for one in found.live.comparison.live.values()):,} keys"),
        ("history", f"{sum(one.keys for one in found.history.comparison.live.values()):,} rows"),
        ("analytics", f"{found.analytics.documents:,} documents"),
    ]
    rows = [(name, what, "DIFFERENT" if name in found.unequal else "equal") for name, what in cells]
    print_table(("restored", "compared", ""), rows, empty="")
    for different in _differences(found):
        say(different)
    lost = "the log does not answer" if loss.records is None else f"{loss.records:,} records lie after it"
    facts = [
        ("backup", f"{backup.id}, {backup.records:,} records"),
        ("RPO now", f"{written_age(loss.age_s)}: {lost}"),
        ("RPO at most", f"{written_age(loss.interval_s)} between two backups" if loss.interval_s else ""),
        ("RTO", ", ".join(f"{name} {rto[f'{name}_s']:.1f} s" for name, _ in ends)),
    ]
    print_facts(facts)


def _differences(found: DrillFound) -> Sequence[str]:
    comparisons = (found.live.comparison, found.history.comparison, found.analytics.comparison)
    shown = [f"{one.place}: {one.differs}" for one in found.log if one.differs]
    return shown + [str(one) for each in comparisons for one in each.differences[:SHOWN_OF_EACH]]


def _document(backup: Backup, found: DrillFound, loss: Loss) -> dict[str, Any]:
    return {
        "backup": backup.id,
        "equal": not found.unequal,
        "unequal": found.unequal,
        "differences": _differences(found),
        "rpo": {"age_s": round(loss.age_s, 3), "records": loss.records, "interval_s": loss.interval_s},
        "phases": [
            {"phase": one.name, "took_s": round(one.took_s, 3), "rto": one.back} for one in found.phases
        ],
        "log": [
            {"partition": str(one.place), "next_offset": one.next_offset, "sha256": one.log_sha256}
            for one in found.log
        ],
        "live": comparison_document(found.live.comparison, "log"),
        "history": comparison_document(found.history.comparison, "log"),
        "analytics": comparison_document(found.analytics.comparison, "log"),
    }
