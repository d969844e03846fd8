"""`interlock rebuild history`: the history written anew beside the live one, proved, and made live."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say
from api.cli.rebuild_parts import remark_skipped, skipped_document
from api.cli.work import COLLECT_GARBAGE_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.settings import Settings
    from processors.rebuild.history import HistoryOutcome, HistoryRebuild
    from processors.rebuild.history_back import TurnedBack
    from processors.rebuild.history_plan import HistoryOptions, HistoryPlan

EXAMPLES = (
    "Examples: interlock rebuild history --dry-run  ·  interlock rebuild history --archive /srv/archive"
)


def history(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be read, and change nothing.")
    ] = False,
    max_events_per_s: Annotated[
        int | None, typer.Option(min=1, help="Go no faster, to spare the log and Postgres.")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Go on with bad records that nobody has refused before, and name each."
        ),
    ] = False,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
    ] = None,
    shorter: Annotated[
        bool, typer.Option("--shorter", help="Although the beginning can no longer be read: leave it out.")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Drop what an interrupted rebuild has built instead of going on.")
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Make the history live again that was so before the last rebuild.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the history anew in a schema beside the live one, prove it by the log, and make it live.

    The sink and all traffic go on. Interrupted, it goes on where it was when it is run again.
    """
    from api.settings import load_settings
    from processors.rebuild.history_plan import HistoryOptions

    settings = load_settings()
    if back:
        if dry_run or max_events_per_s or skip_bad or archive or shorter or anew:
            raise CommandError("--back rebuilds nothing: leave out the other options", Exit.USAGE)
        _show_back(run(_turned_back(settings)), as_json)
        return
    if archive is not None:
        archive_in(settings, archive)
    options = HistoryOptions(max_events_per_s, skip_bad, anew, shorter, archive)
    if dry_run:
        _show_plan(run(_rebuild(settings, options, lambda *_: None).plan()), as_json)
        return
    _show(settings, _rebuilt(settings, options), as_json)


def _rebuild(
    settings: Settings, options: HistoryOptions, moved: Callable[[int, int, int], None]
) -> HistoryRebuild:
    from events.codec import Codec
    from events.registry import open_registry
    from processors.rebuild.history import HistoryRebuild

    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    return HistoryRebuild(log, settings.history, codec, options, remark, moved)


def _rebuilt(settings: Settings, options: HistoryOptions) -> HistoryOutcome:
    import uvloop

    gc.freeze()
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    with counted("writing and proving", "events") as moved:
        return run(_rebuild(settings, options, moved).run(), uvloop.new_event_loop)


async def _turned_back(settings: Settings) -> TurnedBack:
    from processors.rebuild.history_back import turn_back

    return await turn_back(settings.log, settings.history)


def _show_plan(plan: HistoryPlan, as_json: bool) -> None:
    """What it would read; the first reason why it cannot is raised."""
    if as_json:
        print_json(_plan_document(plan))
    else:
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
            for part in plan.parts
            if part.end
        ]
        columns = ("partition", "from", "to", "records", "by the archive", "log begins", "lost")
        print_table(columns, cells, empty="nothing to write")
        print_facts(
            [
                ("rebuild", "goes on with an interrupted one" if plan.resumed else "begins anew"),
                ("records", f"{plan.records:,} to write, {plan.to_prove:,} to prove"),
                ("estimated", f"{plan.estimated_s:,.0f} s at {plan.records_per_s:,} records/s (a guess)"),
            ]
        )
    for refusal in plan.refusals[1:]:
        remark(str(refusal))
    if plan.refusals:
        raise plan.refusals[0]


def _plan_document(plan: HistoryPlan) -> dict[str, Any]:
    return {
        "resumed": plan.resumed,
        "records": plan.records,
        "to_prove": plan.to_prove,
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


def _show(settings: Settings, outcome: HistoryOutcome, as_json: bool) -> None:
    if as_json:
        print_json(_document(outcome))
    else:
        _print_outcome(settings.history.schema_name, outcome)
    if not outcome.is_live:
        raise CommandError(
            "the schema that was built is not what the log says, and was not made live: look at the differences, and build "
            "another with --anew"
        )


def _document(outcome: HistoryOutcome) -> dict[str, Any]:
    return (
        _plan_document(outcome.plan)
        | comparison_document(outcome.found.comparison, "log")
        | {
            "made_live": outcome.is_live,
            "written": outcome.written,
            "proved": outcome.found.records,
            "took_s": round(outcome.took_s, 3),
            "still_s": round(outcome.still_s, 3),
            "bad_records": skipped_document(outcome.skipped),
            "before": [
                {"table": one.table, "month": one.month, "before": one.before, "now": one.now}
                | {"equal": one.is_equal}
                for one in outcome.months
            ],
        }
    )


def _print_outcome(schema: str, outcome: HistoryOutcome) -> None:
    remark_skipped(outcome.skipped)
    print_comparison(outcome.found.comparison)
    differ = [one for one in outcome.months if not one.is_equal]
    rate = outcome.written / max(0.001, outcome.took_s)
    if outcome.is_live and outcome.has_before:
        cells = [(one.table, one.month, one.before, one.now) for one in differ]
        columns = ("not as before", "month", "rows before", "rows now")
        print_table(columns, cells, empty="all rows and sums are as before")
    print_facts(
        [
            (
                "written",
                f"{outcome.written:,} records in {outcome.took_s:.1f} s with the proof ({rate:,.0f}/s)",
            ),
            ("proved", f"{outcome.found.records:,} records, {outcome.found.rollup_rows:,} rows of rollups"),
            ("sinks waited", f"{outcome.still_s:.2f} s" if outcome.is_live else None),
            (
                "live now",
                f"the schema built anew, as {schema}" if outcome.is_live else "what was live before",
            ),
            (
                "the one before",
                outcome.has_before
                and f"{schema}_before; `interlock rebuild history --back` makes it live again",
            ),
        ]
    )


def _show_back(turned: TurnedBack, as_json: bool) -> None:
    if as_json:
        print_json({"live": turned.schema, "behind": turned.behind})
        return
    say(
        f"the history that was live before is live again as {turned.schema}, {turned.behind:,} records behind the log: the sink "
        f"writes them; the other one is {turned.schema}_before now"
    )
