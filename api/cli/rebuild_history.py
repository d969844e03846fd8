"""`interlock rebuild history`: the history written anew beside the live one, proved, and made live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say
from api.cli.rebuild_parts import remark_skipped, skipped_document
from api.cli.rebuild_stores import (
    Anew,
    ArchiveFolder,
    Back,
    DryRun,
    MostEventsPerS,
    Moved,
    Shorter,
    SkipBad,
    options_of,
    print_store_plan,
    raise_refusals,
    rebuilt,
    store_plan_document,
)

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.rebuild.history import HistoryOutcome, HistoryRebuild
    from processors.rebuild.history_back import TurnedBack
    from processors.rebuild.store_plan import StoreOptions, StorePlan

EXAMPLES = (
    "Examples: interlock rebuild history --dry-run  ·  interlock rebuild history --archive /srv/archive"
)


def history(
    *,
    dry_run: DryRun = False,
    max_events_per_s: MostEventsPerS = None,
    skip_bad: SkipBad = False,
    archive: ArchiveFolder = None,
    shorter: Shorter = False,
    anew: Anew = False,
    back: Back = False,
    as_json: AsJson = False,
) -> None:
    """Write the history anew in a schema beside the live one, prove it by the log, and make it live.

    The sink and all traffic go on. Interrupted, it goes on where it was when it is run again.
    """
    from api.settings import load_settings
    from processors.rebuild.history_back import turn_back
    from processors.rebuild.store_plan import StoreOptions

    settings = load_settings()
    options = options_of(
        settings,
        StoreOptions(max_events_per_s, skip_bad, anew, shorter, archive),
        dry_run=dry_run,
        back=back,
    )
    if back:
        _show_back(run(turn_back(settings.log, settings.history)), as_json)
    elif dry_run:
        _show_plan(run(_rebuild(settings, options, lambda *_: None).plan()), as_json)
    else:
        _show(settings, rebuilt(lambda moved: _rebuild(settings, options, moved).run()), as_json)


def _rebuild(settings: Settings, options: StoreOptions, moved: Moved) -> HistoryRebuild:
    from events.codec import open_codec
    from processors.rebuild.history import HistoryRebuild

    log = settings.log
    codec = open_codec(log)
    return HistoryRebuild(log, codec, options, remark, moved, settings.history)


def _show_plan(plan: StorePlan, as_json: bool) -> None:
    """What it would read; the first reason why it cannot is raised."""
    if as_json:
        print_json(store_plan_document(plan))
    else:
        print_store_plan(plan)
    raise_refusals(plan.refusals)


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
        store_plan_document(outcome.plan)
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
