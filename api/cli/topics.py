"""`interlock topics`: the topics of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import run
from api.cli.output import AsJson, print_facts, print_json, print_table, progress

if TYPE_CHECKING:
    from api.settings import Settings

app = typer.Typer(help="The topics of the log: create, list, describe.", no_args_is_help=True)

DAY_MS = 86_400_000


@app.command(epilog="Example: INTERLOCK_LOG__PARTITIONS=12 interlock topics create")
def create(as_json: AsJson = False) -> None:
    """Create the topics that are missing; harmless when all are there."""
    from api.settings import load_settings
    from events.broker import create_topics

    settings = load_settings()
    with progress("creating topics", None):
        states = run(create_topics(settings.log))
    rows = [{"topic": one.full_name, "partitions": one.partitions, "created": one.created} for one in states]
    if as_json:
        print_json(rows)
    else:
        columns = ("topic", "partitions", "")
        cells = [
            (one.full_name, one.partitions, "created" if one.created else "there already") for one in states
        ]
        print_table(columns, cells, empty="no topics")


@app.command("list", epilog="Example: interlock topics list --json")
def list_topics(as_json: AsJson = False) -> None:
    """List the topics with what each holds now."""
    from api.settings import load_settings

    rows = run(_held(load_settings()))
    if as_json:
        print_json(rows)
        return
    columns = ("topic", "event", "key", "partitions", "records", "kept")
    cells = [
        (row["topic"], row["event"], row["key"], len(row["ranges"]), row["records"], row["kept"])
        for row in rows
    ]
    print_table(columns, cells, empty="no topics")


@app.command(epilog="Example: interlock topics describe usage")
def describe(
    topic: Annotated[str, typer.Argument(help="Short name, for example usage.")], as_json: AsJson = False
) -> None:
    """Show one topic: its event, key, and the offsets of each partition."""
    from api.settings import load_settings
    from events.catalogue import topic_named

    row = run(_one(load_settings(), topic_named(topic).name))
    if as_json:
        print_json(row)
        return
    facts = ("topic", "full_name", "event", "key", "group", "kept", "records")
    print_facts((name, row[name]) for name in facts)
    cells = [(int(number), held["start"], held["end"]) for number, held in row["ranges"].items()]
    print_table(("partition", "first offset", "next offset"), cells, empty="no partitions")


async def _held(settings: Settings) -> list[dict[str, Any]]:
    from events.catalogue import TOPICS

    return [await _one(settings, name) for name in TOPICS]


async def _one(settings: Settings, name: str) -> dict[str, Any]:
    from events.catalogue import topic_named
    from events.reader import LogReader

    topic = topic_named(name)
    ranges = await LogReader(settings.log).ranges(name)
    kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY_MS} days"
    return {
        "topic": name,
        "full_name": settings.log.full_name(name),
        "event": topic.event.__name__,
        "key": topic.key_field,
        "group": topic.group,
        "kept": kept,
        "records": sum(held.end - held.start for held in ranges.values()),
        "ranges": {
            str(number): {"start": held.start, "end": held.end} for number, held in sorted(ranges.items())
        },
    }
