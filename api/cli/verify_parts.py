"""What the proofs of the command line share: partitions, a codec, and lines about what was compared."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeVar

import typer

from api.cli.comparison import SHOWN_DIFFERENCES
from api.cli.exits import CommandError, Exit, run
from api.cli.garbage import collect_seldom
from api.cli.output import remark

if TYPE_CHECKING:
    from api.settings import Settings
    from events.codec import Codec
    from projections.live.digest import Comparison

T = TypeVar("T")


class Compares(Protocol):
    """What a proof has found."""

    @property
    def comparison(self) -> Comparison: ...


Compared = TypeVar("Compared", bound=Compares)


@dataclass(frozen=True, slots=True)
class Looked(Generic[Compared]):
    """What was found at last, and what was repaired before, in words."""

    found: Compared
    repaired: Sequence[str] = ()


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


def mended(
    found: Compared,
    repair: Callable[[Compared], Coroutine[Any, Any, Iterable[object]]],
    prove: Callable[[Compared], Coroutine[Any, Any, Compared]],
    rounds: int = 1,
) -> Looked[Compared]:
    """Repair what differs and prove again, until nothing does or nothing more is done; what and how, on stderr."""
    repaired: list[str] = []
    for _ in range(rounds):
        if found.comparison.is_equal:
            break
        _remark([str(one) for one in found.comparison.differences], "differ")
        done = [str(one) for one in proved(repair(found))]
        _remark(done, "were repaired")
        if not done:
            break
        repaired += done
        found = proved(prove(found))
    return Looked(found, repaired)


def _remark(lines: Sequence[str], what: str) -> None:
    for line in lines[:SHOWN_DIFFERENCES]:
        remark(line)
    if len(lines) > SHOWN_DIFFERENCES:
        remark(f"and {len(lines) - SHOWN_DIFFERENCES:,} more {what}")


def pace(what: str, records: int, took_s: float) -> tuple[str, str]:
    """How many records were looked at, and how fast: a fact."""
    return what, f"{records:,} records in {took_s:.1f} s ({records / max(0.001, took_s):,.0f}/s)"


def differing(comparison: Comparison) -> tuple[str, int]:
    """How many keys differ: a fact."""
    return "differ", len(comparison.differences) + comparison.unnamed
