"""`interlock verify live`: every key in Redis against a naive fold of the log; what differs is folded anew when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError
from api.cli.output import AsJson, print_facts, print_json
from api.cli.verify_parts import Looked, Partitions, codec_of, differing, mended, numbers_of, pace, proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.live import Verified
    from projections.live.slots import Slot

Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="Empty the slots that differ, have the workers fold them anew, and verify them again.",
    ),
]


def live(partition: Partitions = None, *, repair: Repair = False, as_json: AsJson = False) -> None:
    """Fold the log a second time, naively, and compare every key in Redis with it. Exit code 1 when one differs.

    Nothing is written without --repair, and live traffic goes on.
    """
    from api.settings import load_settings

    settings = load_settings()
    looked = look_at_live(settings, slots_of(numbers_of(settings, partition)), repair=repair)
    found = looked.found
    _show(looked, as_json)
    if not found.comparison.is_equal:
        raise CommandError(
            f"the live state is not what the log says in {', '.join(map(str, found.differing))}: "
            "`interlock verify live --repair` folds these slots anew, `interlock rebuild live` all of them beside the old ones"
        )


def look_at_live(
    settings: Settings, slots: Sequence[Slot], archive: Path | None = None, *, repair: bool
) -> Looked[Verified]:
    """Compare these slots; when asked for, have those folded anew that differ, and compare these again."""
    found = proved(_prove(settings, slots, archive))
    if not repair:
        return Looked(found)
    return mended(
        found,
        lambda one: _repair(settings, one.differing),
        lambda one: _prove(settings, one.differing, archive),
    )


def slots_of(numbers: Sequence[int]) -> list[Slot]:
    """The slots of these partitions."""
    from projections.live.slots import TOPICS_OF_LEAD, Slot

    return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in numbers]


async def _prove(settings: Settings, slots: Sequence[Slot], archive: Path | None = None) -> Verified:
    """Compare these slots, with a bar on stderr."""
    from processors.rebuild.archived_log import log_with
    from processors.rebuild.progress import Progress
    from processors.verify.live import verify_live

    log, live, codec = settings.log, settings.live, codec_of(settings)
    with counted("folding", "events") as moved:
        progress = Progress(lambda done, total: moved(done, total, progress.folded))
        return await verify_live(log, live, codec, progress, slots, reader=log_with(log, archive))


async def _repair(settings: Settings, slots: Sequence[Slot]) -> list[str]:
    from events.publisher import Publisher
    from processors.verify.repair import repair

    async with Publisher(settings.log, codec_of(settings)) as publisher:
        with counted("folding anew", "events") as moved:
            await repair(settings.live, publisher, slots, lambda done, total: moved(done, total, done))
    return [f"{slot}: folded anew" for slot in slots]


def _show(looked: Looked[Verified], as_json: bool) -> None:
    found = looked.found
    if as_json:
        print_json(
            {
                "generation": found.generation,
                "folded": found.records,
                "took_s": round(found.took_s, 3),
                "repaired": list(looked.repaired),
                "vectors": {str(slot): dict(vector) for slot, vector in found.vectors.items()},
            }
            | comparison_document(found.comparison, "log")
        )
        return
    print_comparison(found.comparison)
    print_facts(
        [
            ("generation", found.generation),
            ("slots", len(found.vectors)),
            pace("folded", found.records, found.took_s),
            ("repaired", len(looked.repaired) or None),
            differing(found.comparison),
        ]
    )
