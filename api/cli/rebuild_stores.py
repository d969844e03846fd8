"""What the rebuilds of stores share on the command line: their options, their plan, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.exits import CommandError, Exit, run
from api.cli.garbage import collect_seldom
from api.cli.output import print_facts, print_table, remark

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from api.settings import Settings
    from processors.rebuild.store_plan import ReadingPlan, StoreOptions, StorePart, StorePlan

T = TypeVar("T")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be read, and change nothing.")]
MostEventsPerS = Annotated[
    int | None,
    typer.Option("--max-events-per-s", min=1, help="Go no faster, to spare the log and the store."),
]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Go on with bad records that nobody has refused before, and name each."),
]
Shorter = Annotated[
    bool, typer.Option("--shorter", help="Although the beginning can no longer be read: leave it out.")
]
Anew = Annotated[
    bool, typer.Option("--anew", help="Drop what an interrupted rebuild has built instead of going on.")
]
Back = Annotated[bool, typer.Option("--back", help="Make live again what was so before the last rebuild.")]

Moved = Callable[[int, int, int], None]


def options_of(settings: Settings, options: StoreOptions, *, dry_run: bool, back: bool) -> StoreOptions:
    """The same, when they go together and the archive is one."""
    from processors.rebuild.store_plan import StoreOptions

    if back and (dry_run or options != StoreOptions()):
        raise CommandError("--back rebuilds nothing: leave out the other options", Exit.USAGE)
    if options.archive is not None:
        archive_in(settings, options.archive)
    return options


def rebuilt(work: Callable[[Moved], Coroutine[Any, Any, T]]) -> T:
    """What a rebuild comes to, with a bar on stderr."""
    import uvloop

    collect_seldom()
    with counted("writing and proving", "events") as moved:
        return run(work(moved), uvloop.new_event_loop)


def print_parts(parts: Sequence[StorePart]) -> None:
    """What would be read, from where to where."""
    columns = ("partition", "from", "to", "records", "by the archive", "log begins", "lost")
    cells = [
        (
            str(part.place),
            part.start,
            part.end,
            part.records,
            part.from_archive,
            part.on_log.start,
            part.lost,
        )
        for part in parts
        if part.end
    ]
    print_table(columns, cells, empty="no records to read")


def print_store_plan(plan: StorePlan) -> None:
    """The same, and how long that may take."""
    print_parts(plan.parts)
    print_facts(
        [
            ("rebuild", "goes on with an interrupted one" if plan.resumed else "begins anew"),
            ("records", f"{plan.records:,} to write, {plan.to_prove:,} to prove"),
            ("estimated", f"{plan.estimated_s:,.0f} s at {plan.records_per_s:,} records/s (a guess)"),
        ]
    )


def raise_refusals(refusals: Sequence[Exception]) -> None:
    """The first reason why a plan cannot be carried out is raised, the others are said."""
    for refusal in refusals[1:]:
        remark(str(refusal))
    if refusals:
        raise refusals[0]


def store_plan_document(plan: StorePlan) -> dict[str, Any]:
    """The plan of a rebuild for programs."""
    return {"resumed": plan.resumed, "to_prove": plan.to_prove} | reading_document(plan)


def reading_document(plan: ReadingPlan) -> dict[str, Any]:
    """What would be read, for programs."""
    return {
        "records": plan.records,
        "estimated_s": round(plan.estimated_s, 1),
        "parts": [
            {
                "partition": str(part.place),
                "start": part.start,
                "end": part.end,
                "records": part.records,
                "from_archive": part.from_archive,
                "log_start": part.on_log.start,
                "log_end": part.on_log.end,
                "readable_from": part.readable_from,
                "lost": part.lost,
            }
            for part in plan.parts
        ],
        "refused": [str(one) for one in plan.refusals],
    }
