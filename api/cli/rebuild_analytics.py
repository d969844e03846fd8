"""`interlock rebuild analytics`: the documents written anew beside the live ones, proved, and made live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say
from api.cli.rebuild_stores import (
    Anew,
    ArchiveFolder,
    Back,
    DryRun,
    MostEventsPerS,
    Moved,
    Shorter,
    options_of,
    print_store_plan,
    raise_refusals,
    rebuilt,
    store_plan_document,
)

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.rebuild.analytics import AnalyticsOutcome, AnalyticsPlan, AnalyticsRebuild
    from processors.rebuild.analytics_back import TurnedBack
    from processors.rebuild.store_plan import StoreOptions

EXAMPLES = (
    "Examples: interlock rebuild analytics --dry-run  ·  interlock rebuild analytics --archive /srv/archive"
)


def analytics(
    *,
    dry_run: DryRun = False,
    max_events_per_s: MostEventsPerS = None,
    archive: ArchiveFolder = None,
    shorter: Shorter = False,
    anew: Anew = False,
    back: Back = False,
    as_json: AsJson = False,
) -> None:
    """Write the analytics anew in collections beside the live ones, prove them by the log, and make them live.

    The sink and all traffic go on. Interrupted, it goes on where it was when it is run again.
    """
    from api.settings import load_settings
    from processors.rebuild.analytics_back import turn_back
    from processors.rebuild.store_plan import StoreOptions

    settings = load_settings()
    options = options_of(
        settings,
        StoreOptions(max_events_per_s, anew=anew, shorter=shorter, archive=archive),
        dry_run=dry_run,
        back=back,
    )
    if back:
        _show_back(run(turn_back(settings.log, settings.analytics)), as_json)
    elif dry_run:
        _show_plan(run(_rebuild(settings, options, lambda *_: None).plan()), as_json)
    else:
        _show(rebuilt(lambda moved: _rebuild(settings, options, moved).run()), as_json)


def _rebuild(settings: Settings, options: StoreOptions, moved: Moved) -> AnalyticsRebuild:
    from events.codec import open_codec
    from processors.rebuild.analytics import AnalyticsRebuild

    log = settings.log
    codec = open_codec(log)
    return AnalyticsRebuild(log, codec, options, remark, moved, settings.analytics)


def _show_plan(plan: AnalyticsPlan, as_json: bool) -> None:
    """What it would read; the first reason why it cannot is raised."""
    if as_json:
        print_json(_plan_document(plan))
    else:
        print_store_plan(plan.store)
        print_facts([("set", plan.number), ("live now", f"set {plan.sets.live}")])
    raise_refusals(plan.store.refusals)


def _plan_document(plan: AnalyticsPlan) -> dict[str, Any]:
    return {"set": plan.number, "live": plan.sets.live} | store_plan_document(plan.store)


def _show(outcome: AnalyticsOutcome, as_json: bool) -> None:
    if as_json:
        print_json(_document(outcome))
    else:
        _print_outcome(outcome)
    if not outcome.is_live:
        raise CommandError(
            "the set that was built is not what the log says, and was not made live: look at the differences, and build "
            "another with --anew"
        )


def _document(outcome: AnalyticsOutcome) -> dict[str, Any]:
    return (
        _plan_document(outcome.plan)
        | comparison_document(outcome.found.comparison, "log")
        | {
            "made_live": outcome.is_live,
            "written": outcome.written,
            "proved": outcome.found.documents,
            "before_log": outcome.found.before_log,
            "took_s": round(outcome.took_s, 3),
            "before": [
                {"collection": name, "before": outcome.before.get(name, 0), "now": documents}
                for name, documents in outcome.now.items()
            ],
        }
    )


def _print_outcome(outcome: AnalyticsOutcome) -> None:
    print_comparison(outcome.found.comparison)
    if outcome.is_live:
        cells = [(name, outcome.before.get(name, 0), documents) for name, documents in outcome.now.items()]
        print_table(("collection", "documents before", "documents now"), cells, empty="no documents")
    rate = outcome.written / max(0.001, outcome.took_s)
    plan = outcome.plan
    print_facts(
        [
            (
                "written",
                f"{outcome.written:,} records in {outcome.took_s:.1f} s with the proof ({rate:,.0f}/s)",
            ),
            ("proved", f"{outcome.found.documents:,} documents with their vectors"),
            (
                "before the log",
                f"{outcome.found.before_log:,} documents that may tell of records which nobody has any more"
                if outcome.found.before_log
                else None,
            ),
            ("live now", f"set {plan.number if outcome.is_live else plan.sets.live}"),
            (
                "the one before",
                outcome.has_before
                and f"set {plan.sets.live}; `interlock rebuild analytics --back` makes it live again",
            ),
        ]
    )


def _show_back(turned: TurnedBack, as_json: bool) -> None:
    if as_json:
        print_json({"live": turned.live, "before": turned.before, "behind": turned.behind})
        return
    say(
        f"set {turned.live} of the collections is live again, {turned.behind:,} records behind the log: the sink writes them"
        + ("" if turned.before is None else f"; set {turned.before} is the one before now")
    )
