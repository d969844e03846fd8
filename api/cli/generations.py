"""`interlock generations`: the generations of the live state in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import run
from api.cli.output import AsJson, print_json, print_table, say

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.rebuild.switch import Switched

app = typer.Typer(help="Generations of the live state: list, switch, drop.", no_args_is_help=True)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
Number = Annotated[int, typer.Argument(min=1, help="Number of the generation, as `list` shows it.")]


@app.command("list", epilog="Example: interlock generations list --json")
def list_generations(as_json: AsJson = False) -> None:
    """List the generations: what each holds and how far it is. Walks through all keys of Redis."""
    from api.settings import load_settings

    rows = run(_listed(load_settings()))
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            row["generation"],
            _said(row),
            row["slots"],
            row["keys"],
            row["bytes"],
            row["folded"],
            row["behind"],
        )
        for row in rows
    ]
    columns = ("generation", "", "slots", "keys", "bytes", "records folded", "behind the live one")
    print_table(columns, cells, empty="no generations")


@app.command(epilog="Example: interlock generations switch 1 --force")
def switch(
    generation: Number,
    force: Annotated[
        bool, typer.Option("--force", help="Although it is behind: the workers then catch up.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a generation live that is there already. Workers and caches follow."""
    from api.settings import load_settings

    done = run(_switch(load_settings(), generation, force, dry_run=dry_run))
    if as_json:
        live = done.before if dry_run else done.generation
        print_json({"before": done.before, "live": live, "behind": done.behind, "dry_run": dry_run})
        return
    fold = "would fold" if dry_run else "fold"
    catching_up = f"; the workers {fold} {done.behind:,} records to catch up" if done.behind else ""
    if dry_run:
        say(f"generation {done.generation} would be live in the place of {done.before}{catching_up}")
    else:
        say(f"generation {done.generation} is live, generation {done.before} was{catching_up}")


@app.command(epilog="Example: interlock generations drop 1 --dry-run")
def drop(generation: Number, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Delete a generation that is not live; also while Redis is full."""
    from api.settings import load_settings

    keys = run(_drop(load_settings(), generation, dry_run=dry_run))
    if as_json:
        print_json({"generation": generation, "keys": keys, "dropped": not dry_run})
        return
    say(f"generation {generation} {'would be' if dry_run else 'is'} dropped: {keys:,} keys")


def _said(row: dict[str, Any]) -> str:
    if row["live"]:
        return "live"
    as_of = f"as of {row['as_of']}" if row["as_of"] else ""
    return as_of if as_of and row["stage"] == "as_of" else f"{row['stage'] or ''} {as_of}".strip()


async def _listed(settings: Settings) -> list[dict[str, Any]]:
    from api.cli.rebuild_as_of import time_of
    from projections.live.generations import Generations, Held
    from projections.live.slots import TOPICS_OF_LEAD, Slot
    from projections.live.store import LiveStore

    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(settings.log.partitions)]
    async with LiveStore(settings.live) as store:
        generations = Generations(store.connection, settings.live.namespace)
        live, known, held = await generations.live(), await generations.known(), await generations.held()
        numbers = sorted({*known, *held})
        positions = {}
        for number in numbers:
            async with LiveStore(settings.live.model_copy(update={"generation": number})) as one:
                positions[number] = {
                    f"{topic}-{slot.partition}": offset
                    for slot, checkpoint in (await one.checkpoints(slots)).items()
                    for topic, offset in sorted(checkpoint.next_offsets.items())
                }
    rows = []
    for number in numbers:
        size, at = held.get(number, Held()), positions[number]
        until = known[number].until if number in known else None
        behind = sum(max(0, offset - at.get(place, 0)) for place, offset in positions[live].items())
        rows.append(
            {
                "generation": number,
                "live": number == live,
                "stage": known[number].stage if number in known else None,
                "as_of": time_of(until) if until else None,
                "slots": size.kinds["meta"],
                "keys": size.keys,
                "bytes": size.held_bytes,
                "folded": sum(at.values()),
                "behind": behind,
                "positions": at,
            }
        )
    return rows


async def _switch(settings: Settings, generation: int, force: bool, *, dry_run: bool) -> Switched:
    from events.codec import open_codec
    from events.publisher import Publisher
    from processors.rebuild.switch import plan_switch
    from processors.rebuild.switch import switch as switch_to
    from projections.live.store import LiveStore

    log = settings.log
    if dry_run:
        async with LiveStore(settings.live) as store:
            return await plan_switch(log, store, generation, although_behind=force)
    codec = open_codec(log)
    async with Publisher(log, codec) as publisher, LiveStore(settings.live) as store:
        return await switch_to(log, store, publisher, generation, although_behind=force)


async def _drop(settings: Settings, generation: int, *, dry_run: bool) -> int:
    from processors.rebuild.switch import drop as drop_it
    from processors.rebuild.switch import plan_drop
    from projections.live.store import LiveStore

    async with LiveStore(settings.live) as store:
        if dry_run:
            return (await plan_drop(store, generation)).keys
        return await drop_it(store, generation)
