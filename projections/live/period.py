"""When a budget's spending starts anew: half-open ranges of UTC instants, from calendars in IANA zones.

All boundaries lie on quarter hours, as every zone's do since 1980, so spend in quarter-hour buckets splits exactly.
A day begins when the zone's clock first shows its midnight, or first jumps past it; an hour begins whenever the clock
shows a full hour, so the hour that a clock repeats is two hours, and the rare jump by half an hour makes one of 90
minutes. Weeks begin on Monday (ISO 8601).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

from events.budget_changed import BudgetPeriod

QUARTER_S = 900
QUARTER_US = QUARTER_S * 1_000_000
QUARTERS_PER_HOUR = 4

_PERIODS_KEPT = 4096
_END_OF_CALENDAR_US = 253_339_228_800_000_000  # 9998-01-01: Python's calendar ends soon after
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Periodic(Protocol):
    """What decides the periods of a budget: a budget, or the event that sets it."""

    @property
    def period(self) -> BudgetPeriod: ...
    @property
    def rolling_hours(self) -> int | None: ...
    @property
    def zone(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Period:
    """[start_us, end_us)."""

    start_us: int
    end_us: int

    @property
    def quarters(self) -> range:
        """Numbers of its quarter hours since the epoch."""
        return range(self.start_us // QUARTER_US, self.end_us // QUARTER_US)


def period_of(budget: Periodic, at_us: int) -> Period:
    """The period that an instant lies in. A rolling one is the N hours that end with the instant's quarter hour.

    Raises ValueError for an instant of the year 9998 or later.
    """
    if at_us >= _END_OF_CALENDAR_US:
        raise ValueError("budgets have periods until the end of the year 9997")
    return _period(budget.period, budget.rolling_hours, budget.zone, at_us // QUARTER_US)


def period_before(budget: Periodic, period: Period) -> Period:
    """The period that ends where this one starts; what it left may roll over."""
    return period_of(budget, period.start_us - 1)


def period_after(budget: Periodic, period: Period) -> Period:
    """The period that starts where this one ends. A rolling budget has none: this is its next quarter hour's."""
    return period_of(budget, period.end_us)


@lru_cache(maxsize=_PERIODS_KEPT)
def _period(kind: BudgetPeriod, rolling_hours: int | None, zone_name: str, quarter: int) -> Period:
    match kind:
        case BudgetPeriod.ROLLING:
            if rolling_hours is None:
                raise ValueError("a rolling budget has rolling_hours")
            start, end = quarter + 1 - rolling_hours * QUARTERS_PER_HOUR, quarter + 1
        case BudgetPeriod.HOUR:
            start, end = _hour(ZoneInfo(zone_name), quarter)
        case (
            BudgetPeriod.DAY
            | BudgetPeriod.WEEK
            | BudgetPeriod.MONTH
            | BudgetPeriod.QUARTER
            | BudgetPeriod.YEAR
        ):
            start, end = _calendar(kind, ZoneInfo(zone_name), quarter)
        case _:
            assert_never(kind)
    return Period(start * QUARTER_US, end * QUARTER_US)


def _hour(zone: ZoneInfo, quarter: int) -> tuple[int, int]:
    start, end = quarter, quarter + 1
    while not _shows_full_hour(zone, start):
        start -= 1
    while not _shows_full_hour(zone, end):
        end += 1
    return start, end


def _shows_full_hour(zone: ZoneInfo, quarter: int) -> bool:
    offset = datetime.fromtimestamp(quarter * QUARTER_S, zone).utcoffset() or timedelta()
    return (quarter + round(offset / timedelta(seconds=QUARTER_S))) % QUARTERS_PER_HOUR == 0


def _calendar(kind: BudgetPeriod, zone: ZoneInfo, quarter: int) -> tuple[int, int]:
    """Start and end as quarters. The loops take a step only where the clock was set back over a midnight."""
    first = _first_day(kind, datetime.fromtimestamp(quarter * QUARTER_S, zone).date())
    while (start := _midnight(zone, first)) > quarter:
        first = _first_day(kind, first - timedelta(days=1))
    while (end := _midnight(zone, following := _following(kind, first))) <= quarter:
        first, start = following, end
    return start, end


def _midnight(zone: ZoneInfo, day: date) -> int:
    """The quarter in which a day begins. With fold=0 a repeated midnight is the first, a skipped one the jump itself."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone) - _EPOCH) // timedelta(seconds=QUARTER_S)


def _first_day(kind: BudgetPeriod, day: date) -> date:
    """First day of the period that a day lies in."""
    match kind:
        case BudgetPeriod.WEEK:
            return day - timedelta(days=day.weekday())
        case BudgetPeriod.MONTH:
            return day.replace(day=1)
        case BudgetPeriod.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case BudgetPeriod.YEAR:
            return day.replace(month=1, day=1)
        case _:
            return day


_LONGEST_DAYS = {
    BudgetPeriod.DAY: 1,
    BudgetPeriod.WEEK: 7,
    BudgetPeriod.MONTH: 31,
    BudgetPeriod.QUARTER: 92,
    BudgetPeriod.YEAR: 366,
}


def _following(kind: BudgetPeriod, first: date) -> date:
    """First day of the next period: the longest period's length after `first` lies within it."""
    return _first_day(kind, first + timedelta(days=_LONGEST_DAYS[kind]))
