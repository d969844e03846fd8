"""`interlock migrate`: what is stored brought to what this release makes, step by step, with a way back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.migrate_partitions import another_number, carry, show_carry_plan
from api.cli.migrate_parts import Asked, estimates, migrated, next_steps
from api.cli.migrate_show import show_ended, show_plan, show_put_back
from api.cli.output import AsJson, remark
from api.rfc3339 import format_time_us

if TYPE_CHECKING:
    from api.settings import Settings

app = typer.Typer(
    help="Bring what is stored to what this release makes: plan, run, rollback.", no_args_is_help=True
)

Projections = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[live] [history] [analytics]",
        help="Build these anew, though they are as this release makes them.",
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Another number of partitions: all is carried into new topics, under other names.",
    ),
]
Into = Annotated[
    str | None,
    typer.Option(
        "--into", help="Name of what is carried into new topics; default: the namespace and the number."
    ),
]
Archive = Annotated[
    Path | None,
    typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
]


@app.command(epilog="Examples: interlock migrate plan  ·  interlock migrate plan live --json")
def plan(
    projections: Projections = None,
    partitions: Partitions = None,
    into: Into = None,
    archive: Archive = None,
    as_json: AsJson = False,
) -> None:
    """Show what is to be done, in order, why, and how much it is. Changes nothing."""
    from api.settings import load_settings

    settings = load_settings()
    if (number := another_number(settings, partitions, into, projections)) is not None:
        show_carry_plan(settings, number, into, Asked(archive=archive), as_json)
        return
    written, steps = migrated(
        settings, lambda migration: next_steps(migration, projections or (), anew=False)
    )
    show_plan(written, steps, estimates(settings, steps, archive), as_json)


@app.command(
    epilog="Examples: interlock migrate run --backup /srv/backups  ·  interlock migrate run live --no-backup --canary 0.2  ·  interlock "
    "migrate run --partitions 8 --backup /srv/backups"
)
def run(
    projections: Projections = None,
    *,
    backup: Annotated[
        Path | None, typer.Option("--backup", help="Folder of the backups, for the one that is taken first.")
    ] = None,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Take none.")] = False,
    canary: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the reads that is asked of the old and of the new one."),
    ] = 0.05,
    tolerate: Annotated[int, typer.Option(min=0, help="So many of these answers may differ.")] = 0,
    archive: Archive = None,
    max_events_per_s: Annotated[
        int | None, typer.Option(min=1, help="Go no faster, to spare the log and the stores.")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Pass over bad records that nobody has refused before, and name each."
        ),
    ] = False,
    partitions: Partitions = None,
    into: Into = None,
    wait_s: Annotated[
        float,
        typer.Option(
            "--wait", min=0, help="With --partitions: seconds until the old deployment has to stand still."
        ),
    ] = 600.0,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Forget what an interrupted run has planned instead of going on with it."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do it, step by step. All traffic goes on. Interrupted, it goes on where it was when it is run again.

    What is built anew becomes live only when it is proved by the log and a canary has found the same answers in it. With another
    number of partitions, the whole deployment is carried under other names, and proved to be the same.
    """
    from api.settings import load_settings

    settings = load_settings()
    asked = Asked(backup, canary, tolerate, archive, max_events_per_s, skip_bad, wait_s, no_backup)
    if (number := another_number(settings, partitions, into, projections)) is None:
        _run_steps(settings, asked, projections or (), anew=anew, dry_run=dry_run, as_json=as_json)
    elif dry_run:
        show_carry_plan(settings, number, into, asked, as_json)
    else:
        carry(settings, number, into, asked, as_json)


def _run_steps(
    settings: Settings,
    asked: Asked,
    projections: Collection[str],
    *,
    anew: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Do what is planned, or what is left of it."""
    from api.cli.migrate_steps import carry_out
    from processors.migration.migration import rebuilds_of
    from processors.migration.steps import Name

    written, steps = migrated(settings, lambda migration: next_steps(migration, projections, anew=anew))
    if asked.no_backup:
        steps = [step for step in steps if step.name is not Name.BACKUP]
    if dry_run or not steps:
        show_plan(written, steps, estimates(settings, steps, asked.archive), as_json)
        return
    if any(step.name is Name.BACKUP for step in steps):
        asked.require_backup()
    if written is None:
        written = migrated(settings, lambda migration: migration.begin(steps))
    else:
        remark(f"goes on with the migration of {format_time_us(written.begun_us)}")
    carry_out(settings, asked, steps, rebuilds_of(written.steps))
    show_ended(migrated(settings, lambda migration: migration.journal.read()), as_json)


@app.command(epilog="Example: interlock migrate rollback")
def rollback(as_json: AsJson = False) -> None:
    """Put back what the last migration has made live, by one flip each. Exit code 5 when there is nothing to put back."""
    from api.settings import load_settings

    show_put_back(migrated(load_settings(), lambda migration: migration.roll_back()), as_json)
