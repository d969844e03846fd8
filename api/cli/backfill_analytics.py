"""`interlock backfill analytics`: documents of some windows made anew from the log, where they stand, and proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError
from api.cli.output import print_facts, print_json
from api.cli.verify_analytics import look_at_analytics
from api.cli.verify_parts import differing, numbers_of, pace

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.analytics_group import AnalyticsFound, OnlyOf


def fill_documents(
    settings: Settings, target: str, only: OnlyOf, archive: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Write the documents that are missing or wrong, and prove them; with `dry_run` name them, and change nothing."""
    numbers = numbers_of(settings, None)
    looked = look_at_analytics(settings, numbers, archive, repair=not dry_run, only=only)
    found, changed = looked.found, len(looked.repaired)
    if as_json:
        print_json(_document(target, only, found, changed))
    else:
        print_comparison(found.comparison)
        print_facts([*_what(target, only), *_figures(found, changed, dry_run=dry_run)])
    if not dry_run and not found.comparison.is_equal:
        raise CommandError(
            "what was filled is not what the log says: look at the differences. `interlock rebuild analytics` makes all of it anew"
        )


def _what(target: str, only: OnlyOf) -> list[tuple[str, object]]:
    from api.rfc3339 import format_time_us

    excerpt = only.excerpt
    return [
        ("fills", target),
        ("windows of", f"{format_time_us(excerpt.from_us)} to {format_time_us(excerpt.to_us)}"),
        ("tenant", excerpt.tenant),
        ("provider", excerpt.provider),
    ]


def _figures(found: AnalyticsFound, changed: int, *, dry_run: bool) -> list[tuple[str, object]]:
    documents = ("documents", f"{changed:,} of {found.documents:,} changed")
    return [
        differing(found.comparison) if dry_run else documents,
        (
            "before the log",
            f"{found.before_log:,} documents whose events the log no longer has: name --archive"
            if found.before_log
            else None,
        ),
        pace("counted", found.records, found.took_s),
    ]


def _document(target: str, only: OnlyOf, found: AnalyticsFound, changed: int) -> dict[str, object]:
    from api.rfc3339 import format_time_us

    excerpt = only.excerpt
    return comparison_document(found.comparison, "log") | {
        "target": target,
        "from": format_time_us(excerpt.from_us),
        "to": format_time_us(excerpt.to_us),
        "tenant": excerpt.tenant,
        "provider": excerpt.provider,
        "records": found.records,
        "documents": found.documents,
        "changed": changed,
        "before_log": found.before_log,
        "took_s": round(found.took_s, 3),
    }
