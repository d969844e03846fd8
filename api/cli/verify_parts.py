"""What the proofs of the command line share: partitions, a codec, and lines about what was compared."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.garbage import collect_seldom

if TYPE_CHECKING:
    from api.settings import Settings
    from events.codec import Codec
    from projections.live.digest import Comparison

T = TypeVar("T")

Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", min=0, help="Only this partition number; may be given again. Default: all."),
]


def proved(work: Coroutine[Any, Any, T]) -> T:
    """What a proof comes to, on a fast event loop of its own."""
    import uvloop

    return run(work, uvloop.new_event_loop)


def numbers_of(settings: Settings, partitions: list[int] | None) -> list[int]:
    """The partition numbers that are meant; CommandError when there is no such one."""
    numbers = sorted(set(partitions)) if partitions else list(range(settings.log.partitions))
    if numbers[-1] >= settings.log.partitions:
        raise CommandError(
            f"there is no partition {numbers[-1]}: the topics have {settings.log.partitions}, counted from 0",
            Exit.USAGE,
        )
    return numbers


def codec_of(settings: Settings) -> Codec:
    """Of the log's schemas; much is decoded with it, so garbage is collected seldom from now on."""
    from events.codec import open_codec

    collect_seldom()
    log = settings.log
    return open_codec(log)


def pace(what: str, records: int, took_s: float) -> tuple[str, str]:
    """How many records were looked at, and how fast: a fact."""
    return what, f"{records:,} records in {took_s:.1f} s ({records / max(0.001, took_s):,.0f}/s)"


def differing(comparison: Comparison) -> tuple[str, int]:
    """How many keys differ: a fact."""
    return "differ", len(comparison.differences) + comparison.unnamed
