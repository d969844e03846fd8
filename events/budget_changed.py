"""BudgetChanged: a budget, whole, as it is from now on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Interval, MaxLen
from pydantic import AfterValidator, model_validator

from events.envelope import MAX_LONG, ErrorText, Event, Name, OptionalName, Positive, ProviderName


class BudgetLevel(StrEnum):
    """Whose spending is limited."""

    TENANT = "TENANT"
    ORG = "ORG"
    TEAM = "TEAM"
    USER = "USER"
    KEY = "KEY"


class BudgetPeriod(StrEnum):
    """After what time spending starts anew."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    ROLLING = "ROLLING"


class BudgetChange(StrEnum):
    """What happened to the budget."""

    SET = "SET"
    REMOVED = "REMOVED"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA time zone, for example Europe/Berlin") from None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChanged(Event):
    """See schemas/budget_changed. Money is nano-USD; a period is a half-open range of UTC instants."""

    budget_id: Name
    change: BudgetChange = BudgetChange.SET
    version: Positive
    level: BudgetLevel = BudgetLevel.TENANT
    subject: Name | None = None
    provider: ProviderName | None = None
    model: Name | None = None
    period: BudgetPeriod = BudgetPeriod.MONTH
    rolling_hours: Annotated[int, Interval(ge=1, le=24 * 366)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    limit_nano_usd: Annotated[int, Interval(ge=0, le=MAX_LONG)]
    hard: bool = True
    soft_limits_percent: Annotated[tuple[Annotated[int, Interval(ge=1, le=1000)], ...], MaxLen(20)] = (
        50,
        80,
        100,
    )
    rollover_cap_nano_usd: Annotated[int, Interval(ge=0, le=MAX_LONG)] = 0
    actor: OptionalName
    reason: ErrorText = ""

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if (self.level is BudgetLevel.TENANT) != (self.subject is None):
            raise ValueError("subject is given at every level but TENANT: name the org, team, user or key")
        if (self.period is BudgetPeriod.ROLLING) != (self.rolling_hours is not None):
            raise ValueError("rolling_hours is given with period ROLLING and only then")
        if self.model is not None and self.provider is None:
            raise ValueError("a budget for a model names its provider too")
        return self
