"""`interlock verify analytics`: every document in Chroma against a naive count of the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError
from api.cli.output import AsJson, print_facts, print_json
from api.cli.verify_parts import Partitions, codec_of, differing, numbers_of, pace, proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.analytics_group import AnalyticsFound

Archive = Annotated[
    Path | None,
    typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
]


def analytics(partition: Partitions = None, *, archive: Archive = None, as_json: AsJson = False) -> None:
    """Count the log a second time, naively, and compare every document in Chroma with it. Exit code 1 when one differs.

    Nothing is written, and the sink goes on.
    """
    from api.settings import load_settings

    settings = load_settings()
    if archive is not None:
        archive_in(settings, archive)
    found = proved(prove_analytics(settings, numbers_of(settings, partition), archive))
    _show(found, as_json)
    if not found.comparison.is_equal:
        raise CommandError(
            "the analytics are not what the log says: to have them built anew, `interlock rebuild analytics`"
        )


async def prove_analytics(
    settings: Settings, numbers: Sequence[int], archive: Path | None = None
) -> AnalyticsFound:
    """Compare these partitions, with a bar on stderr."""
    from processors.rebuild.archived_log import log_with
    from processors.verify.analytics import AnalyticsProof
    from projections.analytics.sets import live_set

    live = await live_set(settings.analytics)
    log = settings.log
    with counted("counting", "events") as moved:
        proof = AnalyticsProof(
            log,
            live,
            codec_of(settings),
            log_with(log, archive),
            lambda done, total: moved(done, total, done),
        )
        return await proof.verify(numbers)


def _show(found: AnalyticsFound, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "positions": {str(place): offset for place, offset in found.positions.items()},
                "records": found.records,
                "documents": found.documents,
                "expired": found.expired,
                "before_log": found.before_log,
                "took_s": round(found.took_s, 3),
            }
            | comparison_document(found.comparison, "log")
        )
        return
    print_comparison(found.comparison)
    print_facts(
        [
            pace("counted", found.records, found.took_s),
            ("documents", f"{found.documents:,}"),
            ("expired", f"{found.expired:,} documents at the end of their retention"),
            (
                "before the log",
                f"{found.before_log:,} documents that may tell of records which the log no longer holds",
            ),
            differing(found.comparison),
        ]
    )
