"""What the rebuilds of the command line share: what they work with, their plan, and what they passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from api.cli.bar import counted
from api.cli.garbage import collect_seldom
from api.cli.output import print_facts, print_json, print_table, remark

if TYPE_CHECKING:
    from api.settings import Settings
    from events.codec import Codec
    from events.publisher import Publisher
    from events.settings import LogSettings
    from processors.rebuild.bad_records import BadRecord
    from processors.rebuild.building import Options
    from processors.rebuild.plan import Plan
    from processors.rebuild.progress import Progress
    from projections.live.store import LiveStore

    Parts = tuple[LogSettings, LiveStore, Codec, Publisher, Options, Progress, Callable[[str], None]]
    """What every rebuild is made with, in its order."""


@asynccontextmanager
async def opened(settings: Settings, options: Options) -> AsyncIterator[Parts]:
    """Connections, and a bar on stderr that shows how far it is."""
    from events.codec import open_codec
    from events.publisher import Publisher
    from processors.rebuild.progress import Progress
    from projections.live.store import LiveStore

    collect_seldom()
    log = settings.log
    codec = open_codec(log)
    async with Publisher(log, codec) as publisher, LiveStore(settings.live) as store:
        with counted("folding", "events") as moved:
            progress = Progress(lambda done, total: moved(done, total, progress.folded))
            yield log, store, codec, publisher, options, progress, remark


def print_plan(plan: Plan, as_json: bool) -> None:
    """What would be folded, from where to where, and how long that may take."""
    if as_json:
        print_json(plan_document(plan))
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


def plan_document(plan: Plan) -> dict[str, Any]:
    """The same for programs."""
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


def skipped_document(skipped: Sequence[BadRecord]) -> list[dict[str, Any]]:
    """Bad records that were passed over, for programs."""
    return [{"record": str(one), "dead_lettered": one.was_lettered} for one in skipped]


def remark_skipped(skipped: Sequence[BadRecord]) -> None:
    """The same on stderr."""
    for bad in skipped:
        remark(f"passed over, {'as the workers did' if bad.was_lettered else 'SKIPPED'}: {bad}")
