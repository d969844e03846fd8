"""`interlock rebuild live --until`: a generation as of an earlier time, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cli.exits import run
from api.cli.output import print_facts, print_json
from api.cli.rebuild_parts import opened, plan_document, print_plan, remark_skipped, skipped_document
from api.rfc3339 import format_time_us

if TYPE_CHECKING:
    from api.settings import Settings
    from events.until import Until
    from processors.rebuild.as_of import BuiltAsOf
    from processors.rebuild.building import Options
    from processors.rebuild.plan import Plan
    from projections.live.generations import BuiltUntil


def build_as_of(settings: Settings, options: Options, until: Until, *, dry_run: bool, as_json: bool) -> None:
    """Plan or build it, and say its number."""
    import uvloop

    if dry_run:
        print_plan(run(_plan(settings, options, until)), as_json)
        return
    built = run(_built(settings, options, until), uvloop.new_event_loop)
    if as_json:
        print_json(_document(built))
        return
    remark_skipped(built.skipped)
    number = built.plan.generation
    print_facts(
        [
            ("generation", number),
            ("as of", time_of(built.until)),
            ("positions", ",".join(f"{place}:{offset}" for place, offset in sorted(built.positions.items()))),
            ("folded", f"{built.folded:,} records in {built.took_s:.1f} s, {len(built.skipped)} passed over"),
            ("look at it", f"interlock breakers list --generation {number}"),
            ("drop it", f"interlock generations drop {number}"),
        ]
    )


def time_of(until: BuiltUntil) -> str:
    """The time that a generation is as of; with a word when it was cut by positions."""
    time = format_time_us(until.time_us)
    return time if until.positions is None else f"{until.positions} ({time})"


async def _plan(settings: Settings, options: Options, until: Until) -> Plan:
    from processors.rebuild.as_of import RebuildAsOf

    async with opened(settings, options) as parts:
        return await RebuildAsOf(*parts, until).plan()


async def _built(settings: Settings, options: Options, until: Until) -> BuiltAsOf:
    from processors.rebuild.as_of import RebuildAsOf

    async with opened(settings, options) as parts:
        return await RebuildAsOf(*parts, until).run()


def _document(built: BuiltAsOf) -> dict[str, Any]:
    return plan_document(built.plan) | {
        "as_of": format_time_us(built.until.time_us),
        "until_positions": built.until.positions,
        "positions": {str(place): offset for place, offset in sorted(built.positions.items())},
        "folded": built.folded,
        "took_s": round(built.took_s, 3),
        "bad_records": skipped_document(built.skipped),
    }
