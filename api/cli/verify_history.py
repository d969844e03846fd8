"""`interlock verify history`: every row in Postgres against its record on the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError
from api.cli.output import AsJson, print_facts, print_json
from api.cli.verify_parts import Looked, Partitions, codec_of, differing, mended, numbers_of, pace, proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.history import HistoryFound

ROUNDS = 3
"""What is set right in one partition may show what is wrong in another."""

Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Write the rows and sums anew that differ, while the sink goes on, and verify again."
    ),
]


def history(partition: Partitions = None, *, repair: Repair = False, as_json: AsJson = False) -> None:
    """Compare every row in Postgres with its record on the log, and the rollups with the rows. Exit code 1 when one differs.

    Nothing is written without --repair, and the sink goes on.
    """
    from api.settings import load_settings

    settings = load_settings()
    looked = look_at_history(settings, numbers_of(settings, partition), repair=repair)
    _show(looked, as_json)
    if not looked.found.comparison.is_equal:
        raise CommandError(
            "the history is not what the log says: `interlock verify history --repair` writes anew what differs, "
            "`interlock rebuild history` all of it beside the old one"
        )


def look_at_history(settings: Settings, numbers: Sequence[int], *, repair: bool) -> Looked[HistoryFound]:
    """Compare these partitions; when asked for, set right what differs, and compare again."""
    from processors.verify.repair_history import HistoryRepair

    found = proved(_prove(settings, numbers))
    if not repair:
        return Looked(found)
    repairer = HistoryRepair(settings.log, settings.history, codec_of(settings))
    return mended(found, lambda one: repairer.repair(one.wrong), lambda _: _prove(settings, numbers), ROUNDS)


async def _prove(settings: Settings, numbers: Sequence[int]) -> HistoryFound:
    """Compare these partitions, with a bar on stderr."""
    from processors.verify.history import HistoryProof

    with counted("comparing", "events") as moved:
        codec = codec_of(settings)
        proof = HistoryProof(
            settings.log, settings.history, codec, lambda done, total: moved(done, total, done)
        )
        return await proof.verify(numbers)


def _show(looked: Looked[HistoryFound], as_json: bool) -> None:
    found = looked.found
    if as_json:
        print_json(
            {
                "positions": {str(place): offset for place, offset in found.positions.items()},
                "records": found.records,
                "rollup_rows": found.rollup_rows,
                "duplicates": found.duplicates,
                "counted_again": found.counted_again,
                "first_again": _first_again(found),
                "deleted": found.deleted,
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
            pace("compared", found.records, found.took_s),
            ("rollups", f"{found.rollup_rows:,} rows"),
            ("duplicates", f"{found.duplicates:,} records of events that were written before"),
            ("counted again", _again(found)),
            ("deleted", f"{found.deleted:,} events older than all rows of their table"),
            ("before the log", f"{found.before_log:,} rows of records that the log no longer holds"),
            ("repaired", len(looked.repaired) or None),
            differing(found.comparison),
        ]
    )


def _first_again(found: HistoryFound) -> str | None:
    return None if found.first_again is None else "{}:{}".format(*found.first_again)


def _again(found: HistoryFound) -> str | None:
    """What the live state has more of than the history."""
    if not found.counted_again:
        return None
    return (
        f"{found.counted_again:,} of them by the live state: they came more than five minutes after, the first at "
        f"{_first_again(found)} (docs/history.md)"
    )
