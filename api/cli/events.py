"""`interlock events`: follow the log, and append to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import orjson
import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_json, print_json_line, progress, say

if TYPE_CHECKING:
    from api.settings import Settings

app = typer.Typer(help="Follow the events of the log, and append to it.", no_args_is_help=True)

MAX_LINES = 5_000

From = Annotated[
    str, typer.Option("--from", help="`start`, `end` (what comes from now on), or an RFC 3339 time.")
]
Until = Annotated[
    str | None, typer.Option(help="Stop at this RFC 3339 time of the records, or at `end` of the log.")
]


@app.command(
    epilog="Examples: interlock events tail breakers  ·  interlock events tail usage --from start --until end --json"
)
def tail(
    *,
    topics: Annotated[list[str], typer.Argument(help="Short names of topics, for example usage breakers.")],
    start: From = "end",
    until: Until = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="Stop after so many events.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only records with this key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they are appended; Ctrl-C ends it. With --json one event a line."""
    from api.settings import load_settings

    run(_tail(load_settings(), topics, start=start, until=until, count=count, key=key, as_json=as_json))


async def _tail(
    settings: Settings,
    topics: list[str],
    *,
    start: str,
    until: str | None,
    count: int | None,
    key: str | None,
    as_json: bool,
) -> None:
    from api.record_view import merged, read_views
    from events.catalogue import topic_named

    names = [topic_named(name).name for name in topics]
    seen = 0
    async for view in merged([read_views(settings.log, name, start, until) for name in names]):
        if key is not None and view.key != key:
            continue
        if as_json:
            print_json_line(view.to_dict())
        else:
            say(view.line())
        seen += 1
        if count is not None and seen >= count:
            return


@app.command(
    epilog="Examples: interlock events publish usage.jsonl  ·  generate | interlock events publish -"
)
def publish(
    file: Annotated[str, typer.Argument(help="CloudEvents, one JSON object a line; - reads standard input.")],
    batch: Annotated[int, typer.Option(min=1, max=MAX_LINES, help="Events appended at once.")] = 500,
    as_json: AsJson = False,
) -> None:
    """Append CloudEvents to the log. Stops at the first batch with an invalid line; that batch is not appended."""
    from api.settings import load_settings

    settings = load_settings()
    with ExitStack() as resources:
        source, total = _open(file, resources)
        appended = run(_publish(settings, source, total, batch))
    if as_json:
        print_json(appended)
    else:
        say(f"{appended['appended']} events appended, up to {appended['token'] or 'nothing'}")


def _open(file: str, resources: ExitStack) -> tuple[BinaryIO, int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    path = Path(file)
    if not path.is_file():
        raise CommandError(
            f"no file {file}: give a file with one CloudEvent a line, or - for standard input", Exit.USAGE
        )
    with path.open("rb") as counted:
        total = sum(1 for line in counted if line.strip())
    return resources.enter_context(path.open("rb")), total


async def _publish(settings: Settings, source: BinaryIO, total: int | None, batch: int) -> dict[str, Any]:
    from api.ingest import append, read_items, wall_clock_us
    from events.codec import open_codec
    from events.positions import Position, format_vector, vector_of
    from events.publisher import Publisher

    log = settings.log
    codec = open_codec(log)
    reached: list[Position] = []
    done = 0
    with progress("appending", total) as bar:
        async with Publisher(log, codec) as publisher:
            for lines in _batches(source, batch):
                items = [item for _, item in lines]
                with _naming_lines(lines):
                    received = read_items(items, log, wall_clock_us(), single=False)
                appended = await append(publisher, received)
                reached = [
                    Position(p.topic, p.number, o)
                    for p, o in vector_of([*reached, *appended.positions]).items()
                ]
                done += len(items)
                bar.update(bar.task_ids[0], completed=done)
    return {"appended": done, "token": format_vector(vector_of(reached))}


class _naming_lines:  # noqa: N801 - reads as a function at its use
    """Turns what is wrong with items into what is wrong with lines of the file."""

    def __init__(self, lines: list[tuple[int, Any]]) -> None:
        self._lines = lines

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from api.cloudevents import InvalidBatchError

        if isinstance(error, InvalidBatchError):
            faults = [
                f"line {self._lines[fault.index][0]}, {'.'.join(map(str, fault.path)) or 'the event'}: {fault.detail}"
                for fault in error.faults
            ]
            more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
            raise CommandError("; ".join(faults[:3]) + more, Exit.REFUSED) from None


def _batches(source: BinaryIO, size: int) -> Iterator[list[tuple[int, Any]]]:
    numbered = ((number, line) for number, line in enumerate(source, 1) if line.strip())
    while lines := list(islice(numbered, size)):
        yield [(number, _parsed(number, line)) for number, line in lines]


def _parsed(number: int, line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"line {number} is not JSON: {error}", Exit.REFUSED) from None
