"""`interlock verify`: a projection against a naive fold of the log, at the same position vector."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import archive
from api.cli.bar import counted
from api.cli.comparison import SHOWN_DIFFERENCES, comparison_document, print_comparison
from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, remark
from api.cli.work import COLLECT_GARBAGE_AFTER

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.verify.history import HistoryFound
    from processors.verify.live import Verified
    from projections.live.slots import Slot

app = typer.Typer(help="Prove that a projection is what the log says.", no_args_is_help=True)
app.command("archive", epilog="Same as `interlock archive verify`.")(archive.verify)

Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", min=0, help="Only this partition number; may be given again. Default: all."),
]


Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="Empty the slots that differ, have the workers fold them anew, and verify them again.",
    ),
]


@app.command(epilog="Examples: interlock verify live  ·  interlock verify live --partition 3 --repair --json")
def live(partition: Partitions = None, *, repair: Repair = False, as_json: AsJson = False) -> None:
    """Fold the log a second time, naively, and compare every key in Redis with it. Exit code 1 when one differs.

    Nothing is written without --repair, and live traffic goes on.
    """
    import uvloop

    from api.settings import load_settings
    from projections.live.slots import TOPICS_OF_LEAD, Slot

    settings = load_settings()
    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in _numbers(settings, partition)]
    found = run(_live(settings, slots), uvloop.new_event_loop)
    if repair and not found.comparison.is_equal:
        for difference in found.comparison.differences[:SHOWN_DIFFERENCES]:
            remark(str(difference))
        remark(f"folding anew: {', '.join(map(str, found.differing))}")
        run(_repair(settings, found.differing), uvloop.new_event_loop)
        found = run(_live(settings, found.differing), uvloop.new_event_loop)
    _show(found, as_json)
    if not found.comparison.is_equal:
        raise CommandError(
            f"the live state is not what the log says in {', '.join(map(str, found.differing))}: "
            "`interlock verify live --repair` folds these slots anew, `interlock rebuild live` all of them beside the old ones"
        )


@app.command(epilog="Examples: interlock verify history  ·  interlock verify history --partition 3 --json")
def history(partition: Partitions = None, *, as_json: AsJson = False) -> None:
    """Compare every row in Postgres with its record on the log, and the rollups with the rows. Exit code 1 when one differs.

    Nothing is written, and the sink goes on.
    """
    import uvloop

    from api.settings import load_settings

    settings = load_settings()
    found = run(_history(settings, _numbers(settings, partition)), uvloop.new_event_loop)
    _show_history(found, as_json)
    if not found.comparison.is_equal:
        raise CommandError("the history is not what the log says")


def _numbers(settings: Settings, partitions: list[int] | None) -> list[int]:
    numbers = sorted(set(partitions)) if partitions else list(range(settings.log.partitions))
    if numbers[-1] >= settings.log.partitions:
        raise CommandError(
            f"there is no partition {numbers[-1]}: the topics have {settings.log.partitions}, counted from 0",
            Exit.USAGE,
        )
    return numbers


async def _live(settings: Settings, slots: Sequence[Slot]) -> Verified:
    from events.codec import Codec
    from events.registry import open_registry
    from processors.rebuild.progress import Progress
    from processors.verify.live import verify_live

    gc.freeze()
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    with counted("folding", "events") as moved:
        progress = Progress(lambda done, total: moved(done, total, progress.folded))
        return await verify_live(log, settings.live, codec, progress, slots)


async def _repair(settings: Settings, slots: Sequence[Slot]) -> None:
    from events.codec import Codec
    from events.publisher import Publisher
    from events.registry import open_registry
    from processors.verify.repair import repair

    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    async with Publisher(log, codec) as publisher:
        with counted("folding anew", "events") as moved:
            await repair(settings.live, publisher, slots, lambda done, total: moved(done, total, done))


def _show(found: Verified, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "generation": found.generation,
                "folded": found.records,
                "took_s": round(found.took_s, 3),
                "vectors": {str(slot): dict(vector) for slot, vector in found.vectors.items()},
            }
            | comparison_document(found.comparison, "log")
        )
        return
    print_comparison(found.comparison)
    rate = found.records / max(0.001, found.took_s)
    print_facts(
        [
            ("generation", found.generation),
            ("slots", len(found.vectors)),
            ("folded", f"{found.records:,} records in {found.took_s:.1f} s ({rate:,.0f}/s)"),
            ("differ", len(found.comparison.differences) + found.comparison.unnamed),
        ]
    )


async def _history(settings: Settings, numbers: list[int]) -> HistoryFound:
    from events.codec import Codec
    from events.registry import open_registry
    from processors.verify.history import HistoryProof

    gc.freeze()
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    with counted("comparing", "events") as moved:
        proof = HistoryProof(log, settings.history, codec, lambda done, total: moved(done, total, done))
        return await proof.verify(numbers)


def _show_history(found: HistoryFound, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "positions": {str(place): offset for place, offset in found.positions.items()},
                "records": found.records,
                "rollup_rows": found.rollup_rows,
                "duplicates": found.duplicates,
                "deleted": found.deleted,
                "before_log": found.before_log,
                "took_s": round(found.took_s, 3),
            }
            | comparison_document(found.comparison, "log")
        )
        return
    print_comparison(found.comparison)
    rate = found.records / max(0.001, found.took_s)
    print_facts(
        [
            ("compared", f"{found.records:,} records in {found.took_s:.1f} s ({rate:,.0f}/s)"),
            ("rollups", f"{found.rollup_rows:,} rows"),
            ("duplicates", f"{found.duplicates:,} records of events that were written before"),
            ("deleted", f"{found.deleted:,} events older than all rows of their table"),
            ("before the log", f"{found.before_log:,} rows of records that the log no longer holds"),
            ("differ", len(found.comparison.differences) + found.comparison.unnamed),
        ]
    )
