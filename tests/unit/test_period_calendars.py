"""Periods: calendars in zones, as half-open ranges of UTC instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from events.budget_changed import BudgetPeriod
from projections.live.period import QUARTER_US, Period, period_after, period_before, period_of


@dataclass(frozen=True)
class Budget:
    period: BudgetPeriod
    zone: str = "UTC"
    rolling_hours: int | None = None


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def period(start: str, end: str) -> Period:
    return Period(us(start), us(end))


@pytest.mark.parametrize(
    "kind, zone, at, start, end",
    [
        ("DAY", "UTC", "2024-02-29T23:59:59Z", "2024-02-29T00:00Z", "2024-03-01T00:00Z"),
        ("DAY", "Europe/Berlin", "2024-03-31T12:00Z", "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"),
        ("DAY", "Europe/Berlin", "2024-10-27T12:00Z", "2024-10-27T00:00+02:00", "2024-10-28T00:00+01:00"),
        ("DAY", "Asia/Kathmandu", "2024-05-01T18:14Z", "2024-05-01T00:00+05:45", "2024-05-02T00:00+05:45"),
        ("WEEK", "UTC", "2024-12-31T00:00Z", "2024-12-30T00:00Z", "2025-01-06T00:00Z"),
        ("WEEK", "America/New_York", "2024-03-10T03:59Z", "2024-03-04T00:00-05:00", "2024-03-11T00:00-04:00"),
        ("MONTH", "Asia/Kolkata", "2024-01-31T18:30Z", "2024-02-01T00:00+05:30", "2024-03-01T00:00+05:30"),
        ("QUARTER", "UTC", "2024-06-30T23:59Z", "2024-04-01T00:00Z", "2024-07-01T00:00Z"),
        (
            "QUARTER",
            "Pacific/Auckland",
            "2024-12-31T11:00Z",
            "2025-01-01T00:00+13:00",
            "2025-04-01T00:00+13:00",
        ),
        (
            "YEAR",
            "Australia/Lord_Howe",
            "2024-06-01T00:00Z",
            "2024-01-01T00:00+11:00",
            "2025-01-01T00:00+11:00",
        ),
    ],
)
def test_a_calendar_period_begins_at_midnight_of_its_zone(
    kind: str, zone: str, at: str, start: str, end: str
) -> None:
    """Summer time and half-hour offsets make days of 23, 24 or 25 hours, never a gap."""
    assert period_of(Budget(BudgetPeriod(kind), zone), us(at)) == period(start, end)


def test_an_instant_on_a_boundary_belongs_to_the_period_that_starts() -> None:
    """Half-open: the last microsecond before it belongs to the one that ends."""
    budget = Budget(BudgetPeriod.MONTH, "Europe/Berlin")
    boundary = us("2024-04-01T00:00+02:00")
    assert period_of(budget, boundary).start_us == boundary
    assert period_of(budget, boundary - 1).end_us == boundary


def test_a_skipped_midnight_is_the_jump_itself() -> None:
    """Beirut's clock went from 24:00 to 01:00 in the night to 2022-03-27."""
    day = period_of(Budget(BudgetPeriod.DAY, "Asia/Beirut"), us("2022-03-27T10:00Z"))
    assert day == period("2022-03-26T22:00Z", "2022-03-27T21:00Z")


def test_a_repeated_midnight_begins_the_day_once() -> None:
    """Azores' clock went from 01:00 back to 00:00 on 2023-10-29: the day begins at the first midnight."""
    day = period_of(Budget(BudgetPeriod.DAY, "Atlantic/Azores"), us("2023-10-29T01:30Z"))
    assert day == period("2023-10-29T00:00Z", "2023-10-30T01:00Z")


def test_a_day_that_the_calendar_skipped_has_no_period() -> None:
    """Samoa had no 2011-12-30: the day before the 31st is the 29th."""
    budget = Budget(BudgetPeriod.DAY, "Pacific/Apia")
    last = period_of(budget, us("2011-12-31T12:00+14:00"))
    assert last.start_us == us("2011-12-31T00:00+14:00")
    assert period_before(budget, last) == period("2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00")


def test_the_hour_that_a_clock_repeats_is_two_periods() -> None:
    """Berlin showed 02:30 twice on 2024-10-27."""
    budget = Budget(BudgetPeriod.HOUR, "Europe/Berlin")
    first = period_of(budget, us("2024-10-27T00:30Z"))
    second = period_of(budget, us("2024-10-27T01:30Z"))
    assert first == period("2024-10-27T00:00Z", "2024-10-27T01:00Z")
    assert second == period("2024-10-27T01:00Z", "2024-10-27T02:00Z")


def test_hours_follow_half_hour_offsets() -> None:
    """Kolkata's full hours are UTC's half hours."""
    hour = period_of(Budget(BudgetPeriod.HOUR, "Asia/Kolkata"), us("2024-01-01T00:29Z"))
    assert hour == period("2023-12-31T23:30Z", "2024-01-01T00:30Z")


def test_a_half_hour_jump_makes_one_hour_of_ninety_minutes() -> None:
    """Lord Howe moves its clock by 30 minutes."""
    budget = Budget(BudgetPeriod.HOUR, "Australia/Lord_Howe")
    jump = us("2024-10-05T15:30Z")
    lengths = {period_of(budget, jump + offset * QUARTER_US) for offset in range(-8, 8)}
    assert sorted({(each.end_us - each.start_us) // 60_000_000 for each in lengths}) == [60, 90]


def test_a_rolling_period_ends_with_the_current_quarter_hour() -> None:
    """24 hours: 96 quarter hours, the last of them the instant's own."""
    rolling = period_of(Budget(BudgetPeriod.ROLLING, rolling_hours=24), us("2024-05-02T10:07Z"))
    assert rolling == period("2024-05-01T10:15Z", "2024-05-02T10:15Z")
    assert len(rolling.quarters) == 96


def test_an_instant_beyond_the_calendar_is_refused() -> None:
    """With a reason, and the last year before it has its period."""
    budget = Budget(BudgetPeriod.YEAR, "Pacific/Kiritimati")
    assert period_of(budget, us("9997-06-01T00:00Z")).end_us == us("9998-01-01T00:00+14:00")
    with pytest.raises(ValueError, match="9997"):
        period_of(budget, us("9998-01-01T00:00Z"))


def test_the_periods_before_and_after_touch() -> None:
    """February lies between January and March."""
    budget = Budget(BudgetPeriod.MONTH)
    february = period("2024-02-01T00:00Z", "2024-03-01T00:00Z")
    assert period_before(budget, february) == period("2024-01-01T00:00Z", "2024-02-01T00:00Z")
    assert period_after(budget, february) == period("2024-03-01T00:00Z", "2024-04-01T00:00Z")


def test_every_day_of_every_zone_starts_when_its_clock_first_shows_it() -> None:
    """The rule itself, by scanning the clock of zones with odd transitions over some years."""
    for name in ("America/St_Johns", "Asia/Beirut", "Africa/Cairo", "America/Asuncion", "Atlantic/Azores"):
        zone = ZoneInfo(name)
        budget = Budget(BudgetPeriod.DAY, name)
        shown = None
        for quarter in range(us("2010-01-01T12:00Z") // QUARTER_US, us("2012-01-01T12:00Z") // QUARTER_US):
            day = datetime.fromtimestamp(quarter * 900, zone).date()
            if shown is not None and day > shown:
                assert period_of(budget, quarter * QUARTER_US).start_us == quarter * QUARTER_US, (name, day)
            shown = max(day, shown or day)
