"""How fresh a read has to be, as its request asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Response

from api.problems import invalid_value
from events.positions import PositionVector, parse_vector
from projections.live.consistency import Consistency

POSITIONS_HEADER = "Interlock-Positions"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for; `at_least` is empty unless the consistency is SESSION."""

    consistency: Consistency
    at_least: PositionVector


AtLeast = Annotated[
    str | None,
    Query(
        description="Position vector that the answer must have folded, as a write answered it.",
        examples=["usage-3:1042"],
        json_schema_extra={"pattern": r"^([a-z-]+-\d+:\d+(,[a-z-]+-\d+:\d+)*)?$"},
        max_length=8_000,
    ),
]

EVENTUALLY = Asked(Consistency.EVENTUAL, {})


async def asked(
    consistency: Annotated[
        Consistency | None,
        Query(
            description="How fresh the answer has to be; `session` when at_least is given, else `eventual`."
        ),
    ] = None,
    at_least: AtLeast = None,
) -> Asked:
    """The consistency of a read, from its query."""
    wanted = consistency or (Consistency.EVENTUAL if at_least is None else Consistency.SESSION)
    if wanted is Consistency.SESSION and at_least is None:
        raise invalid_value(
            "at_least", "is required with consistency=session: the positions that a write answered"
        )
    if wanted is not Consistency.SESSION and at_least is not None:
        raise invalid_value("at_least", f"goes with consistency=session, not {wanted}")
    return Asked(wanted, parse_vector(at_least or ""))


AskedFor = Annotated[Asked, Depends(asked)]


def say_positions(response: Response, positions: str | None) -> None:
    """Put what an answer has folded into its header."""
    if positions is not None:
        response.headers[POSITIONS_HEADER] = positions
