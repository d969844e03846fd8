"""What a run of the demo is told to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

from annotated_types import Interval
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from demo.errors import BadInputError

DEFAULT_AT = datetime(2023, 11, 8, 13, 30, tzinfo=UTC)
"""When synthetic traffic begins: a time at which every model of the fleet was on sale."""

TRAFFIC_WALL_S = 50.0
"""How long the traffic takes on the wall clock when no speed is given: the whole demo then ends within 90 s."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DemoOptions(BaseModel):
    """Options of one run. The same ones give the same requests, outages and answers of the providers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trace: Path | None = Field(
        None, description="Azure LLM inference trace; none: requests made from the seed."
    )
    incidents: Path | None = Field(None, description="Published incidents; none: outages made from the seed.")
    at: AwareDatetime | None = Field(None, description="Instant of history at which the traffic begins.")
    seed: Annotated[int, Interval(ge=0, le=2**63 - 1)] = Field(7, description="Of all that is made up.")
    speed: Annotated[float, Interval(ge=1, le=200)] | None = Field(
        None, description="Seconds of history in a second of the wall clock; none: the traffic takes 50 s."
    )
    minutes: Annotated[float, Interval(ge=1, le=24 * 60)] | None = Field(
        None, description="Minutes of history to play; none: the whole trace, or 57 minutes without one."
    )
    gateways: Annotated[int, Interval(ge=3, le=16)] = Field(3, description="Gateway processes.")
    workers: Annotated[int, Interval(ge=2, le=8)] = Field(2, description="Worker processes; one gets killed.")
    report: Path = Field(Path("demo-report.json"), description="Where the table is written as JSON.")

    @classmethod
    def of(cls, **given: object) -> Self:
        """The options, or BadInputError with all that is wrong in one line. None means not given."""
        try:
            return cls.model_validate({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            findings = [
                ": ".join(filter(None, (".".join(map(str, finding["loc"])).upper(), _plain(finding["msg"]))))
                for finding in error.errors(include_url=False)
            ]
            raise BadInputError("; ".join(findings)) from None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.at is not None and self.incidents is None:
            raise ValueError(
                "AT names an instant in the history of INCIDENTS: give INCIDENTS=file.csv too, or leave AT out"
            )
        if self.incidents is not None and self.at is None:
            raise ValueError("INCIDENTS spans years: say from when to play, for example AT=2023-11-08T13:30Z")
        for name, path in (("TRACE", self.trace), ("INCIDENTS", self.incidents)):
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: there is no file {path}")
        if not self.report.absolute().parent.is_dir():
            raise ValueError(f"REPORT: there is no folder {self.report.absolute().parent}")
        return self

    @property
    def at_us(self) -> int:
        """When the traffic begins, in history."""
        return ((self.at or DEFAULT_AT) - _EPOCH) // timedelta(microseconds=1)


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
