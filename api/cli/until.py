"""`--until` and `--as-of`: a time in RFC 3339, or positions on the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from events.until import Until

UntilText = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME|POSITION",
        help="RFC 3339: each partition ends before its first record after that. "
        "Or positions, usage-0:1042,usage-1:980: those partitions end there, the others are taken whole.",
    ),
]


def parse_until(text: str, option: str = "--until") -> Until:
    """What is meant; a usage error that names the option for what is neither."""
    from api.rfc3339 import parse_time_us
    from events.positions import InvalidPositionError, parse_vector
    from events.until import UntilPositions, UntilTime

    try:
        return UntilTime(parse_time_us(text))
    except ValueError as no_time:
        try:
            vector = parse_vector(text)
        except InvalidPositionError as error:
            why = f"{text!r} is neither a time (it {no_time}) nor positions ({error})"
            raise typer.BadParameter(why, param_hint=option) from None
    if not vector:
        raise typer.BadParameter("is empty", param_hint=option)
    return UntilPositions(vector)
