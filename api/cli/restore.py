"""`interlock restore`: the archive put back into an empty log, and proved to be there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say
from api.cli.until import UntilText, parse_until

if TYPE_CHECKING:
    from api.settings import Settings
    from events.until import Until
    from projections.archive.restore import Restored
    from projections.archive.restore_plan import RestorePlan
    from projections.archive.restore_proof import Proved
    from projections.archive.settings import ArchiveSettings

NOMINAL_RECORDS_PER_S = 60_000
"""Appended and read back, on one core with the embedded broker; for the estimate only."""


def restore(
    *,
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive",
            help="Folder of the archive; default: the setting archive.folder, else that of `interlock up`.",
        ),
    ] = None,
    until: UntilText = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be restored, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the archive back into an empty log: same partitions, offsets, keys, values, headers and times.

    Broken off, it goes on where the log ends when it is run again. In the end all is read back and compared.

    Example: INTERLOCK_LOG__BOOTSTRAP=kafka:9092 interlock restore --archive /srv/archive --until 2026-03-01T12:00:00Z
    """
    from api.settings import load_settings

    settings = load_settings()
    cut = parse_until(until) if until is not None else None
    put_back(archive_in(settings, archive), settings, cut, dry_run=dry_run, as_json=as_json)


def put_back(
    source: ArchiveSettings,
    settings: Settings,
    cut: Until | None,
    *,
    dry_run: bool,
    as_json: bool,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Plan it, show the plan, carry it out and prove it; False when nothing was to be done. `about` goes into the JSON."""
    plan = run(_plan(source, settings, cut))
    if not as_json:
        _print_plan(plan)
    if plan.refusals or dry_run:
        if as_json:
            print_json({**about, **_plan_document(plan)})
        if plan.refusals:
            raise plan.refusals[0]
        return False
    started_s = time.monotonic()
    restored, proved = run(_restored(plan, settings))
    took_s = time.monotonic() - started_s
    if as_json:
        print_json({**about, **_plan_document(plan), **_outcome_document(restored, proved, took_s)})
    else:
        _print_outcome(restored, proved, took_s)
    if not all(one.is_equal for one in proved):
        raise CommandError(
            "the log is not what was archived: somebody else appends to it, or the broker deletes old records"
        )
    return True


async def _plan(source: ArchiveSettings, settings: Settings, until: Until | None) -> RestorePlan:
    from projections.archive.restore_plan import plan_restore

    return await plan_restore(source, settings.log, until)


async def _restored(plan: RestorePlan, settings: Settings) -> tuple[Restored, list[Proved]]:
    from events.broker import create_topics
    from projections.archive.restore import carry_out
    from projections.archive.restore_proof import prove

    await create_topics(settings.log)
    with counted("appending", "records") as moved:
        restored = await carry_out(
            plan, settings.log, lambda at: moved(at.records, at.of_records, at.records)
        )
    compared, of = 0, sum(restored.ends.values())
    with counted("comparing", "records") as moved:

        def further(records: int) -> None:
            nonlocal compared
            compared += records
            moved(compared, of, compared)

        return restored, await prove(plan.parts, restored.ends, settings.log, further)


def _print_plan(plan: RestorePlan) -> None:
    from api.rfc3339 import format_time_us

    rows = [
        (str(part.place), part.archived_to, part.end, part.on_log, part.records, part.log_bytes)
        for part in plan.parts
    ]
    columns = ("partition", "archived to", "restored to", "on the log", "to append", "bytes")
    print_table(columns, rows, empty="the archive is empty")
    newest = plan.newest_ms
    print_facts(
        [
            ("records", f"{plan.records:,}"),
            ("newest archived", newest is not None and format_time_us(newest * 1000)),
            (
                "estimated",
                f"{plan.records / NOMINAL_RECORDS_PER_S:,.0f} s, compared with the archive included",
            ),
        ]
    )
    for line in plan.lacks:
        remark(line)
    for refusal in plan.refusals[1:]:
        remark(str(refusal))


def _plan_document(plan: RestorePlan) -> dict[str, Any]:
    return {
        "records": plan.records,
        "estimated_s": round(plan.records / NOMINAL_RECORDS_PER_S, 1),
        "newest_ms": plan.newest_ms,
        "partitions": [
            {
                "partition": str(part.place),
                "archived_to": part.archived_to,
                "end": part.end,
                "on_log": part.on_log,
                "records": part.records,
                "bytes": part.log_bytes,
            }
            for part in plan.parts
        ],
        "lacks": list(plan.lacks),
        "refused": [str(one) for one in plan.refusals],
    }


def _outcome_document(restored: Restored, proved: Sequence[Proved], took_s: float) -> dict[str, Any]:
    return {
        "appended": restored.records,
        "took_s": round(took_s, 3),
        "equal": all(one.is_equal for one in proved),
        "proof": [
            {
                "partition": str(one.place),
                "next_offset": one.next_offset,
                "archive_sha256": one.archive_sha256,
                "log_sha256": one.log_sha256,
                "differs": one.differs,
            }
            for one in proved
        ],
    }


def _print_outcome(restored: Restored, proved: Sequence[Proved], took_s: float) -> None:
    rows = [
        (
            str(one.place),
            one.next_offset,
            one.archive_sha256[:16],
            one.log_sha256[:16],
            f"DIFFERENT: {one.differs}" if one.differs else "equal",
        )
        for one in proved
    ]
    print_table(("partition", "next offset", "archive", "read back", ""), rows, empty="nothing to restore")
    rate = restored.records / max(0.001, took_s)
    say(f"{restored.records:,} records appended and all read back in {took_s:.1f} s ({rate:,.0f}/s)")
