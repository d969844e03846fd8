"""`interlock verify analytics`: every document in Chroma against a naive count of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError
from api.cli.output import AsJson, print_facts, print_json
from api.cli.verify_parts import Looked, Partitions, codec_of, differing, mended, numbers_of, pace, proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.analytics import AnalyticsProof
    from processors.verify.analytics_group import AnalyticsFound, OnlyOf
    from processors.verify.mended import Mended

    MakeProof = Callable[[Callable[[int, int, int], None]], Awaitable[AnalyticsProof]]

Archive = Annotated[
    Path | None,
    typer.Option("--archive", help="Folder of the archive, for what the log no longer reaches back to."),
]


Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Write the documents anew that differ, while the sink goes on, and verify again."
    ),
]


def analytics(
    partition: Partitions = None, *, archive: Archive = None, repair: Repair = False, as_json: AsJson = False
) -> None:
    """Count the log a second time, naively, and compare every document in Chroma with it. Exit code 1 when one differs.

    Nothing is written without --repair, and the sink goes on.
    """
    from api.settings import load_settings

    settings = load_settings()
    if archive is not None:
        archive_in(settings, archive)
    looked = look_at_analytics(settings, numbers_of(settings, partition), archive, repair=repair)
    _show(looked, as_json)
    if not looked.found.comparison.is_equal:
        raise CommandError(
            "the analytics are not what the log says: `interlock verify analytics --repair` writes anew what differs, "
            "`interlock rebuild analytics` all of it beside the old ones"
        )


def look_at_analytics(
    settings: Settings,
    numbers: Sequence[int],
    archive: Path | None,
    *,
    repair: bool,
    only: OnlyOf | None = None,
) -> Looked[AnalyticsFound]:
    """Compare these partitions, or a part of them; when asked for, set right what differs, and compare again."""
    make = partial(_proof, settings, archive, only)
    found = proved(_prove(make, numbers))
    if not repair:
        return Looked(found)
    return mended(found, lambda _: _repair(settings, make, numbers), lambda _: _prove(make, numbers))


async def _prove(make: MakeProof, numbers: Sequence[int]) -> AnalyticsFound:
    """Compare these partitions, with a bar on stderr."""
    with counted("counting", "events") as moved:
        return await (await make(moved)).verify(numbers)


async def _repair(settings: Settings, make: MakeProof, numbers: Sequence[int]) -> list[Mended]:
    """Count them again, and write what differs, while nobody builds another set or makes one live."""
    from processors.verify.repair_analytics import repair_analytics
    from projections.analytics.beside import SetsLock, beside

    with counted("repairing", "events") as moved:
        async with beside(settings.analytics) as sets, SetsLock(sets.chroma, settings.analytics):
            return await repair_analytics(await make(moved), numbers)


async def _proof(
    settings: Settings, archive: Path | None, only: OnlyOf | None, moved: Callable[[int, int, int], None]
) -> AnalyticsProof:
    from processors.rebuild.archived_log import log_with
    from processors.verify.analytics import AnalyticsProof
    from projections.analytics.sets import live_set

    live, log = await live_set(settings.analytics), settings.log
    reader = log_with(log, archive)
    return AnalyticsProof(
        log, live, codec_of(settings), reader, lambda done, total: moved(done, total, done), only=only
    )


def _show(looked: Looked[AnalyticsFound], as_json: bool) -> None:
    found = looked.found
    if as_json:
        print_json(
            {
                "positions": {str(place): offset for place, offset in found.positions.items()},
                "records": found.records,
                "documents": found.documents,
                "expired": found.expired,
                "before_log": found.before_log,
                "took_s": round(found.took_s, 3),
                "repaired": list(looked.repaired),
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
            ("repaired", len(looked.repaired) or None),
            differing(found.comparison),
        ]
    )
