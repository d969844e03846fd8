"""`interlock rebuild`: a projection folded anew from the log beside the live one, compared, and made live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.archive import archive_in
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_facts, print_json
from api.cli.rebuild_analytics import EXAMPLES as OF_ANALYTICS
from api.cli.rebuild_analytics import analytics
from api.cli.rebuild_as_of import build_as_of
from api.cli.rebuild_history import EXAMPLES as OF_HISTORY
from api.cli.rebuild_history import history
from api.cli.rebuild_parts import opened, plan_document, print_plan, remark_skipped, skipped_document
from api.cli.until import UntilText, parse_until

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.rebuild.building import Options
    from processors.rebuild.plan import Plan
    from processors.rebuild.rebuild import Outcome

app = typer.Typer(help="Rebuild a projection from the log, beside the live one.", no_args_is_help=True)
app.command(epilog=OF_HISTORY)(history)
app.command(epilog=OF_ANALYTICS)(analytics)


@app.command(
    epilog="Examples: interlock rebuild live --dry-run  ·  interlock rebuild live --max-events-per-s 5000"
)
def live(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be folded, and change nothing.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Slots that are folded at once.")] = 2,
    max_events_per_s: Annotated[
        int | None, typer.Option(min=1, help="Go no faster, to spare the log and Redis.")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Pass over bad records that no worker has dead-lettered, and name each."
        ),
    ] = False,
    keep: Annotated[
        int, typer.Option(min=1, max=100, help="Generations to keep, the live one included.")
    ] = 2,
    until: UntilText = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Drop what an interrupted rebuild has built instead of going on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the live state in Redis as a new generation, prove it equal, and make it live.

    Live traffic goes on. Interrupted, it goes on where it was when it is run again. With --until it becomes a generation as
    of then, to look at with --generation, and nothing is made live.
    """
    import uvloop

    from api.settings import load_settings
    from processors.rebuild.building import Options

    settings = load_settings()
    if archive is not None:
        archive_in(settings, archive)
    options = Options(parallel, max_events_per_s, skip_bad, keep, anew, archive)
    if until is not None:
        build_as_of(settings, options, parse_until(until), dry_run=dry_run, as_json=as_json)
        return
    if dry_run:
        print_plan(run(_plan(settings, options)), as_json)
        return
    outcome = run(_rebuild(settings, options), uvloop.new_event_loop)
    _show(outcome, as_json)
    if not outcome.is_live:
        raise CommandError(
            f"generation {outcome.plan.generation} differs from the live one and was not made live. Which of them is right, "
            f"the keys say; to use the rebuilt one: interlock generations switch {outcome.plan.generation} --force"
        )


async def _plan(settings: Settings, options: Options) -> Plan:
    from processors.rebuild.rebuild import Rebuild

    async with opened(settings, options) as parts:
        return await Rebuild(*parts).plan()


async def _rebuild(settings: Settings, options: Options) -> Outcome:
    from processors.rebuild.rebuild import Rebuild

    async with opened(settings, options) as parts:
        return await Rebuild(*parts).run()


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(
            plan_document(outcome.plan)
            | comparison_document(outcome.comparison, "new")
            | {
                "made_live": outcome.is_live,
                "folded": outcome.folded,
                "took_s": round(outcome.took_s, 3),
                "still_s": round(outcome.still_s, 3),
                "bad_records": skipped_document(outcome.skipped),
                "dropped": list(outcome.dropped),
            }
        )
        return
    remark_skipped(outcome.skipped)
    print_comparison(outcome.comparison)
    plan = outcome.plan
    rate = outcome.folded / max(0.001, outcome.took_s)
    print_facts(
        [
            (
                "folded",
                f"{outcome.folded:,} records in {outcome.took_s:.1f} s ({rate:,.0f}/s), {len(outcome.skipped)} passed over",
            ),
            ("stood still", f"{outcome.still_s:.2f} s"),
            ("dropped", ", ".join(f"generation {one}" for one in outcome.dropped)),
            ("live now", f"generation {plan.generation if outcome.is_live else plan.live}"),
        ]
    )
