"""`interlock rebuild`: a projection folded anew from the log beside the live one, compared, and made live."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, run
from api.cli.output import AsJson, aside, print_facts, print_json, print_table, remark
from api.cli.work import COLLECT_GARBAGE_AFTER

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.rebuild.building import Options
    from processors.rebuild.plan import Plan
    from processors.rebuild.progress import Progress
    from processors.rebuild.rebuild import Outcome

app = typer.Typer(help="Rebuild a projection from the log, beside the live one.", no_args_is_help=True)


@app.command(
    epilog="Examples: interlock rebuild live --dry-run  ·  interlock rebuild live --max-events-per-s 5000"
)
def live(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be folded, and change nothing.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Slots that are folded at once.")] = 2,
    max_events_per_s: Annotated[
        int | None, typer.Option(min=1, help="Go no faster, to spare the log and Redis.")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Pass over bad records that no worker has dead-lettered, and name each."
        ),
    ] = False,
    keep: Annotated[
        int, typer.Option(min=1, max=100, help="Generations to keep, the live one included.")
    ] = 2,
    anew: Annotated[
        bool, typer.Option("--anew", help="Drop what an interrupted rebuild has built instead of going on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the live state in Redis as a new generation, prove it equal, and make it live.

    Live traffic goes on. Interrupted, it goes on where it was when it is run again.
    """
    import uvloop

    from api.settings import load_settings
    from processors.rebuild.building import Options

    settings = load_settings()
    options = Options(parallel, max_events_per_s, skip_bad, keep, anew)
    if dry_run:
        _show_plan(run(_plan(settings, options)), as_json)
        return
    outcome = run(_rebuild(settings, options), uvloop.new_event_loop)
    _show(outcome, as_json)
    if not outcome.is_live:
        raise CommandError(
            f"generation {outcome.plan.generation} differs from the live one and was not made live. Which of them is right, "
            f"the keys say; to use the rebuilt one: interlock generations switch {outcome.plan.generation} --force"
        )


async def _plan(settings: Settings, options: Options) -> Plan:
    from events.codec import Codec
    from events.publisher import Publisher
    from events.registry import open_registry
    from processors.rebuild.progress import Progress
    from processors.rebuild.rebuild import Rebuild
    from projections.live.store import LiveStore

    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    async with LiveStore(settings.live) as store:
        idle = Progress(lambda *_: None)
        return await Rebuild(log, store, codec, Publisher(log, codec), options, idle, remark).plan()


async def _rebuild(settings: Settings, options: Options) -> Outcome:
    from events.codec import Codec
    from events.publisher import Publisher
    from events.registry import open_registry
    from processors.rebuild.rebuild import Rebuild
    from projections.live.store import LiveStore

    gc.freeze()
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    log = settings.log
    codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
    async with Publisher(log, codec) as publisher, LiveStore(settings.live) as store:
        with _shown() as progress:
            return await Rebuild(log, store, codec, publisher, options, progress, _tell).run()


def _tell(line: str) -> None:
    aside.print(line, markup=False, soft_wrap=True)


@contextmanager
def _shown() -> Iterator[Progress]:
    """A bar with rate and time left, on stderr."""
    from processors.rebuild.progress import Progress

    with counted("folding", "events") as moved:
        progress = Progress(lambda done, total: moved(done, total, progress.folded))
        yield progress


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(_plan_document(plan))
        return
    cells = [
        (str(part.slot), part.topic, part.start, part.end, part.records, f"{part.held.start}-{part.held.end}")
        for part in plan.parts
    ]
    print_table(("slot", "topic", "from", "to", "records", "on the log"), cells, empty="nothing to fold")
    begun = "goes on with the interrupted" if plan.resumed else "builds"
    measured = "as measured by the last rebuild" if plan.is_measured else "a guess: no rebuild has run yet"
    print_facts(
        [
            ("live now", f"generation {plan.live}"),
            ("rebuild", f"{begun} generation {plan.generation}"),
            ("records", f"{plan.records:,}"),
            (
                "estimated",
                f"{plan.estimated_s:,.0f} s at {plan.events_per_s:,} events/s on one core ({measured})",
            ),
        ]
    )


def _plan_document(plan: Plan) -> dict[str, Any]:
    return {
        "live": plan.live,
        "generation": plan.generation,
        "resumed": plan.resumed,
        "records": plan.records,
        "estimated_s": round(plan.estimated_s, 1),
        "events_per_s": plan.events_per_s,
        "rate_is_measured": plan.is_measured,
        "parts": [
            {
                "slot": str(part.slot),
                "topic": part.topic,
                "start": part.start,
                "end": part.end,
                "log_start": part.held.start,
                "log_end": part.held.end,
            }
            for part in plan.parts
        ],
    }


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(
            _plan_document(outcome.plan)
            | comparison_document(outcome.comparison, "new")
            | {
                "made_live": outcome.is_live,
                "folded": outcome.folded,
                "took_s": round(outcome.took_s, 3),
                "still_s": round(outcome.still_s, 3),
                "bad_records": [
                    {"record": str(one), "dead_lettered": one.was_lettered} for one in outcome.skipped
                ],
                "dropped": list(outcome.dropped),
            }
        )
        return
    for bad in outcome.skipped:
        remark(f"passed over, {'as the workers did' if bad.was_lettered else 'SKIPPED'}: {bad}")
    print_comparison(outcome.comparison)
    plan = outcome.plan
    rate = outcome.folded / max(0.001, outcome.took_s)
    print_facts(
        [
            (
                "folded",
                f"{outcome.folded:,} records in {outcome.took_s:.1f} s ({rate:,.0f}/s), {len(outcome.skipped)} passed over",
            ),
            ("stood still", f"{outcome.still_s:.2f} s"),
            ("dropped", ", ".join(f"generation {one}" for one in outcome.dropped)),
            ("live now", f"generation {plan.generation if outcome.is_live else plan.live}"),
        ]
    )
