"""Value types of the edge: bounds and examples that the event models do not say in JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from api.rfc3339 import parse_time_us
from events.money import parse_usd


def _is_usd(text: str) -> str:
    if parse_usd(text) < 0:
        raise ValueError("must not be negative")
    return text


def _is_time(text: str) -> str:
    if parse_time_us(text) < 0:
        raise ValueError("must not be before 1970")
    return text


Usd = Annotated[
    str,
    AfterValidator(_is_usd),
    Field(
        pattern=r"^[0-9]{1,10}(\.[0-9]{1,9})?$",
        examples=["250.00"],
        description="US dollars, a decimal string.",
    ),
]
"""An amount that is not negative."""

UsdOut = Annotated[str, Field(examples=["12.5"], description="US dollars, a decimal string.")]

Time = Annotated[
    str,
    AfterValidator(_is_time),
    Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T12:00:00Z"]),
]
"""An RFC 3339 time with its offset."""

TimeOut = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T12:00:00Z"])]

Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]


class Body(BaseModel):
    """A request's body: a name that it does not know is refused, not passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class View(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True)


class Accepted(View):
    """A change is on the log. It shows in reads that ask with `at_least=<positions>`."""

    version: int | None = Field(
        None, description="Version that the change has once folded, if nothing came between."
    )
    positions: str = Field(
        description="Where it is on the log: give it as at_least.", examples=["budgets-3:7"]
    )
