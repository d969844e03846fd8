"""`interlock dead-letters`: records that could not be used, and another try for them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, print_table, progress, say

if TYPE_CHECKING:
    from api.settings import Settings
    from events.dead_letters import Letter

app = typer.Typer(help="Records that could not be used: list, show, redrive.", no_args_is_help=True)

SHOWN_BYTES = 400

Reason = Annotated[
    str | None, typer.Option(help="Only letters with this reason, for example unknown_schema.")
]
Topic = Annotated[str | None, typer.Option(help="Only letters of this topic, by its short name.")]


@app.command(
    "list", epilog="Examples: interlock dead-letters list  ·  interlock dead-letters list --reason bad_avro"
)
def list_letters(
    reason: Reason = None,
    topic: Topic = None,
    redriven: Annotated[
        bool, typer.Option("--redriven", help="Also those that were redriven already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, oldest first."""
    from api.settings import load_settings

    settings = load_settings()
    letters = [one for one in run(_letters(settings)) if redriven or not one.redriven]
    _print_letters(_wanted(letters, settings, reason, topic), settings, as_json)


@app.command(epilog="Example: interlock dead-letters show 3f0c9f0e-…")
def show(
    letter_id: Annotated[str, typer.Argument(help="Id of the letter, as `list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one letter with its bytes."""
    from api.settings import load_settings

    settings = load_settings()
    letter = _find(run(_letters(settings)), letter_id)
    value = letter.value or b""
    facts = _facts(letter, settings)
    if as_json:
        print_json(facts | {"value_base64": base64.b64encode(value).decode()})
        return
    print_facts((name, value) for name, value in facts.items())
    more = f" … and {len(value) - SHOWN_BYTES} bytes more" if len(value) > SHOWN_BYTES else ""
    say(f"{value[:SHOWN_BYTES]!r}{more}")


@app.command(
    epilog="Examples: interlock dead-letters redrive --all --dry-run  ·  interlock dead-letters redrive --reason unknown_schema"
)
def redrive(
    *,
    letter_id: Annotated[str | None, typer.Argument(help="Id of one letter.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All letters that were not redriven yet.")] = False,
    reason: Reason = None,
    topic: Topic = None,
    actor: Annotated[str, typer.Option(envvar="USER", help="Who does it; noted on the log.")] = "operator",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which letters it would be, and append nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Append the records of letters to their topics again, once the cause is gone."""
    from api.settings import load_settings

    if letter_id is None and not every and reason is None and topic is None:
        raise CommandError("say which: a letter's id, --reason, --topic or --all", Exit.USAGE)
    settings = load_settings()
    letters = run(_letters(settings))
    if letter_id is not None:
        chosen = [_find(letters, letter_id)]
    else:
        chosen = _wanted([one for one in letters if not one.redriven], settings, reason, topic)
    if dry_run:
        _print_letters(chosen, settings, as_json)
        return
    outcome = run(_redrive(settings, chosen, actor))
    if as_json:
        print_json(outcome)
        return
    say(f"{len(outcome['redriven'])} records appended again")
    for one in outcome["kept"]:
        say(f"{one['letter_id']} stays: {one['why']}")


def _print_letters(letters: list[Letter], settings: Settings, as_json: bool) -> None:
    if as_json:
        print_json([_facts(one, settings) for one in letters])
        return
    columns = ("letter", "record", "reason", "detail")
    cells = [(one.letter_id, _place(one, settings), one.reason, one.detail[:120]) for one in letters]
    print_table(columns, cells, empty="no dead letters")


async def _letters(settings: Settings) -> list[Letter]:
    from events.codec import open_codec
    from events.dead_letters import read_letters
    from events.reader import LogReader

    log = settings.log
    codec = open_codec(log)
    return await read_letters(LogReader(log), codec)


async def _redrive(settings: Settings, chosen: list[Letter], actor: str) -> dict[str, Any]:
    from api.ingest import wall_clock_us
    from events.codec import open_codec
    from events.dead_letters import LetterNotFoundError, redrive
    from events.publisher import Publisher

    log = settings.log
    outcome: dict[str, Any] = {"redriven": [], "kept": []}
    codec = open_codec(log)
    with progress("redriving", len(chosen)) as bar:
        async with Publisher(log, codec) as publisher:
            for letter in chosen:
                try:
                    position = await redrive(letter, publisher, log, actor, wall_clock_us())
                except LetterNotFoundError as error:
                    outcome["kept"].append({"letter_id": letter.letter_id, "why": str(error)})
                else:
                    outcome["redriven"].append({"letter_id": letter.letter_id, "position": str(position)})
                bar.advance(bar.task_ids[0])
    return outcome


def _wanted(letters: list[Letter], settings: Settings, reason: str | None, topic: str | None) -> list[Letter]:
    return [
        one
        for one in letters
        if (reason is None or one.reason == reason)
        and (topic is None or settings.log.short_name(one.topic) == topic)
    ]


def _find(letters: list[Letter], letter_id: str) -> Letter:
    found = [one for one in letters if one.letter_id == letter_id]
    if not found:
        raise CommandError(
            f"no dead letter {letter_id}: `interlock dead-letters list --redriven` shows all", Exit.NOT_FOUND
        )
    return found[0]


def _place(letter: Letter, settings: Settings) -> str:
    return f"{settings.log.short_name(letter.topic)}-{letter.partition}:{letter.offset}"


def _facts(letter: Letter, settings: Settings) -> dict[str, Any]:
    from api.rfc3339 import format_time_us

    return {
        "letter_id": letter.letter_id,
        "record": _place(letter, settings),
        "reason": letter.reason,
        "detail": letter.detail,
        "record_time": format_time_us(letter.record_time),
        "lettered_at": format_time_us(letter.occurred_at),
        "consumer": letter.consumer,
        "key": letter.key.decode(errors="replace") if letter.key is not None else None,
        "value_bytes": len(letter.value or b""),
        "redriven": letter.redriven,
    }
