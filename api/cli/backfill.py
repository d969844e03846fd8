"""`interlock backfill`: a part of a projection made anew from the past, where it stands, and proved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.archive import archive_in
from api.cli.backfill_analytics import fill_documents
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, remark
from api.cli.rebuild_parts import remark_skipped, skipped_document
from api.cli.rebuild_stores import (
    ArchiveFolder,
    DryRun,
    MostEventsPerS,
    Moved,
    SkipBad,
    print_parts,
    raise_refusals,
    reading_document,
    rebuilt,
)

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.backfill.history import BackfillOutcome, HistoryBackfill
    from processors.backfill.plan import BackfillPlan
    from processors.backfill.target import Target
    from processors.rebuild.store_plan import StoreOptions
    from projections.history.excerpt import Excerpt

EXAMPLES = (
    "Examples: interlock backfill history.usage --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --dry-run  ·  "
    "interlock backfill rollups --from 2026-03-01T00:00:00Z --tenant acme"
)


def backfill(
    target: Annotated[
        str,
        typer.Argument(
            help="history, rollups, analytics, or one of theirs as history.usage or analytics.usage_patterns.",
            metavar="TARGET",
        ),
    ],
    *,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="RFC 3339: events that happened then or later.")
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="RFC 3339: and before that. Default: now.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only events of this provider.")] = None,
    dry_run: DryRun = False,
    max_events_per_s: MostEventsPerS = None,
    skip_bad: SkipBad = False,
    archive: ArchiveFolder = None,
    as_json: AsJson = False,
) -> None:
    """Fill rows of the history, rollups or documents from the log where they are missing or wrong, and prove them.

    The sink and all traffic go on. What is right is left alone: interrupted, run it again.
    """
    from api.settings import load_settings
    from processors.backfill.target import collections_of
    from processors.rebuild.store_plan import StoreOptions
    from processors.verify.analytics_group import OnlyOf

    excerpt = _excerpt(since, to, tenant, provider)
    collections = collections_of(target)
    meant = None if collections else _target(target, of_provider=provider is not None)
    settings = load_settings()
    if archive is not None:
        archive_in(settings, archive)
    if meant is None:
        if skip_bad or max_events_per_s is not None:
            raise CommandError("--skip-bad and --max-events-per-s are for the history", Exit.USAGE)
        only = OnlyOf(excerpt, collections)
        fill_documents(settings, target, only, archive, dry_run=dry_run, as_json=as_json)
        return
    options = StoreOptions(max_events_per_s, skip_bad, archive=archive)
    if dry_run:
        _show_plan(run(_backfill(settings, options, meant, excerpt, lambda *_: None).plan()), as_json)
        return
    outcome = rebuilt(lambda moved: _backfill(settings, options, meant, excerpt, moved).run())
    _show(outcome, as_json)
    if not outcome.found.comparison.is_equal:
        raise CommandError(
            "what was filled is not what the log says: look at the differences. Rows of no event on the log are not removed by a "
            "backfill: `interlock rebuild history` makes all of it anew"
        )


def _target(text: str, *, of_provider: bool) -> Target:
    from processors.backfill.target import NoTargetError, target_of

    try:
        return target_of(text, of_provider=of_provider)
    except NoTargetError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _excerpt(since: str, to: str | None, tenant: str | None, provider: str | None) -> Excerpt:
    from projections.history.excerpt import Excerpt

    from_us = _time(since, "--from")
    to_us = time.time_ns() // 1000 if to is None else _time(to, "--to")
    if from_us >= to_us:
        raise typer.BadParameter("has to be before --to", param_hint="--from")
    return Excerpt(from_us, to_us, tenant, provider)


def _time(text: str, option: str) -> int:
    from api.rfc3339 import parse_time_us

    try:
        return parse_time_us(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint=option) from None


def _backfill(
    settings: Settings, options: StoreOptions, target: Target, excerpt: Excerpt, moved: Moved
) -> HistoryBackfill:
    from events.codec import open_codec
    from processors.backfill.history import HistoryBackfill

    log = settings.log
    codec = open_codec(log)
    return HistoryBackfill(log, codec, options, remark, moved, settings.history, target, excerpt)


def _show_plan(plan: BackfillPlan, as_json: bool) -> None:
    """What it would read; the first reason why it cannot is raised."""
    if as_json:
        print_json(_plan_document(plan))
    else:
        print_parts(plan.parts)
        print_facts([*_what(plan), ("estimated", _estimated(plan))])
    raise_refusals(plan.refusals)


def _what(plan: BackfillPlan) -> list[tuple[str, object]]:
    from api.rfc3339 import format_time_us

    excerpt = plan.excerpt
    days = ", whole days: a rollup by day sums up all of one" if plan.target.rolled_up else ""
    return [
        ("fills", plan.target.name),
        ("events of", f"{format_time_us(excerpt.from_us)} to {format_time_us(excerpt.to_us)}{days}"),
        ("tenant", excerpt.tenant),
        ("provider", excerpt.provider),
    ]


def _estimated(plan: BackfillPlan) -> str:
    return f"{plan.estimated_s:,.0f} s for {plan.records:,} records at {plan.records_per_s:,}/s (a guess)" + (
        ", and the rollups" if plan.target.rolled_up else ""
    )


def _plan_document(plan: BackfillPlan) -> dict[str, Any]:
    from api.rfc3339 import format_time_us

    excerpt = plan.excerpt
    return {
        "target": plan.target.name,
        "from": format_time_us(excerpt.from_us),
        "to": format_time_us(excerpt.to_us),
        "tenant": excerpt.tenant,
        "provider": excerpt.provider,
    } | reading_document(plan)


def _show(outcome: BackfillOutcome, as_json: bool) -> None:
    rows, rollups, found = outcome.rows, outcome.rollups, outcome.found
    if as_json:
        print_json(
            _plan_document(outcome.plan)
            | comparison_document(found.comparison, "log")
            | {
                "rows": {
                    "events": rows.events,
                    "missing": rows.missing,
                    "wrong": rows.wrong,
                    "refused": rows.refused,
                    "changed": rows.changed,
                },
                "rollups": {"rows": rollups.rows, "changed": rollups.changed},
                "proved": found.records,
                "took_s": round(outcome.took_s, 3),
                "bad_records": skipped_document(outcome.skipped),
            }
        )
        return
    remark_skipped(outcome.skipped)
    if outcome.plan.parts or not found.comparison.is_equal:
        print_comparison(found.comparison)
    how = (
        f": {rows.missing:,} missing, {rows.wrong:,} wrong, {rows.refused:,} refused" if rows.changed else ""
    )
    print_facts(
        [
            *_what(outcome.plan),
            ("rows", f"{rows.changed:,} of {rows.events:,} changed{how}" if outcome.plan.parts else None),
            (
                "rollups",
                f"{rollups.changed:,} of {rollups.rows:,} rows changed"
                if outcome.plan.target.rolled_up
                else None,
            ),
            ("proved", f"{found.records:,} records, {found.rollup_rows:,} rows of rollups"),
            ("took", f"{outcome.took_s:.1f} s"),
        ]
    )
