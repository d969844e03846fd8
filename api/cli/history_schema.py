"""`interlock history migrate`: the schema of the history brought to a revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, print_table

if TYPE_CHECKING:
    from projections.history.migrations.migrate import Step
    from projections.history.settings import HistorySettings

EXAMPLES = "Examples: interlock history migrate --dry-run  ·  interlock history migrate --to 0001 --yes"


def migrate(
    to: Annotated[
        str | None, typer.Option(help="Revision to bring it to, or `base`; default: the newest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps and change nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before data goes with a step back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the schema of the history to this release's revision, as the sink does when it starts."""
    from api.settings import load_settings

    settings = load_settings().history
    way = run(_plan(settings, to))
    if way.back and not dry_run and not yes:
        if as_json:
            raise CommandError("--json asks nothing: add --yes", Exit.USAGE)
        typer.confirm(f"take back {len(way.steps)} steps, with the data in them?", abort=True, err=True)
    if way.steps and not dry_run:
        run(_go(settings, way))
    _show(settings, way, done=not dry_run, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Way:
    """From one revision to another; `base` is before the first step."""

    current: str
    wanted: str
    steps: list[Step]
    back: bool


async def _plan(settings: HistorySettings, to: str | None) -> _Way:
    from projections.history.migrations.migrate import BASE, HEAD, all_steps, current_revision

    if settings.postgres_dsn is None:
        raise CommandError("no history is configured: set INTERLOCK_HISTORY__POSTGRES_DSN", Exit.USAGE)
    steps = all_steps()
    places = {BASE: 0} | {step.revision: place for place, step in enumerate(steps, start=1)}
    wanted = steps[-1].revision if to in {None, HEAD} else str(to)
    if wanted not in places:
        raise CommandError(f"there is no revision {wanted}: there are {', '.join(places)}", Exit.USAGE)
    bound_s = settings.migrate_timeout_s
    current = await current_revision(settings.postgres_dsn, settings.schema_name, timeout_s=bound_s) or BASE
    if current not in places:
        raise CommandError(
            f"the schema {settings.schema_name} is at revision {current}, which this release does not know: "
            "a newer one has written it",
            Exit.REFUSED,
        )
    start, end = places[current], places[wanted]
    back = end < start
    return _Way(current, wanted, steps[end:start][::-1] if back else steps[start:end], back)


async def _go(settings: HistorySettings, way: _Way) -> None:
    from projections.history.migrations.migrate import downgrade, upgrade

    assert settings.postgres_dsn is not None, "planned"
    move = downgrade if way.back else upgrade
    bound_s = settings.migrate_timeout_s
    await move(settings.postgres_dsn, settings.schema_name, way.wanted, timeout_s=bound_s)


def _show(settings: HistorySettings, way: _Way, *, done: bool, as_json: bool) -> None:
    if as_json:
        steps = [{"revision": step.revision, "title": step.title} for step in way.steps]
        print_json(
            {"schema": settings.schema_name, "current": way.current, "wanted": way.wanted}
            | {"back": way.back, "steps": steps, "done": done}
        )
        return
    print_facts(
        [
            ("schema", settings.schema_name),
            ("it was at" if done else "it is at", way.current),
            ("it is at" if done else "wanted", way.wanted),
        ]
    )
    what = ("taken back" if done else "to take back") if way.back else ("taken" if done else "to take")
    rows = [(step.revision, step.title) for step in way.steps]
    print_table((f"step {what}", "for"), rows, empty="no steps to take: it is as wanted")
