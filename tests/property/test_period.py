"""Periods partition time, whatever the zone does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from events.budget_changed import BudgetPeriod
from projections.live.period import QUARTER_US, period_after, period_before, period_of

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Africa/Casablanca",
    "Antarctica/Troll",
)
CALENDARS = tuple(kind for kind in BudgetPeriod if kind is not BudgetPeriod.ROLLING)


@dataclass(frozen=True)
class Budget:
    period: BudgetPeriod
    zone: str
    rolling_hours: int | None = None


BUDGETS = st.builds(Budget, st.sampled_from(CALENDARS), st.sampled_from(ZONES))
INSTANTS_US = st.integers(
    int(datetime(1981, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000,
    int(datetime(2060, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000,
)


@given(BUDGETS, INSTANTS_US)
def test_every_instant_lies_in_its_period_alone(budget: Budget, at_us: int) -> None:
    """And every other instant of that period says the same."""
    period = period_of(budget, at_us)
    assert period.start_us <= at_us < period.end_us
    for other_us in (
        period.start_us,
        (period.start_us + at_us) // 2,
        (at_us + period.end_us) // 2,
        period.end_us - 1,
    ):
        assert period_of(budget, other_us) == period


@given(BUDGETS, INSTANTS_US)
def test_consecutive_periods_touch(budget: Budget, at_us: int) -> None:
    """No gap and no overlap, on quarter hours."""
    period = period_of(budget, at_us)
    assert period_before(budget, period).end_us == period.start_us
    assert period_after(budget, period).start_us == period.end_us
    assert period.start_us % QUARTER_US == 0


@given(BUDGETS, INSTANTS_US)
def test_a_calendar_period_shows_one_day_week_month_quarter_or_year(budget: Budget, at_us: int) -> None:
    """The zone's clock shows the same at both ends of a period and another value just outside."""
    if budget.period is BudgetPeriod.HOUR or budget.zone == "America/St_Johns":
        return  # set back over a midnight, its clock shows yesterday again; the unit tests say what holds

    def shown(us: int) -> tuple[int, ...]:
        day = datetime.fromtimestamp(us // 1_000_000, ZoneInfo(budget.zone)).date()
        return {
            BudgetPeriod.DAY: (day.toordinal(),),
            BudgetPeriod.WEEK: tuple(day.isocalendar())[:2],
            BudgetPeriod.MONTH: (day.year, day.month),
            BudgetPeriod.QUARTER: (day.year, (day.month - 1) // 3),
            BudgetPeriod.YEAR: (day.year,),
        }[budget.period]

    period = period_of(budget, at_us)
    assert shown(period.start_us) == shown(at_us) == shown(period.end_us - 1)
    assert shown(period.start_us - 1) < shown(at_us) < shown(period.end_us)


@given(st.integers(1, 24 * 366), INSTANTS_US)
def test_a_rolling_period_has_its_hours_and_ends_with_its_quarter_hour(hours: int, at_us: int) -> None:
    """Each quarter hour has its own, one quarter hour on from the last."""
    budget = Budget(BudgetPeriod.ROLLING, "UTC", hours)
    period = period_of(budget, at_us)
    assert period.end_us - period.start_us == hours * 3_600_000_000
    assert period.end_us - QUARTER_US <= at_us < period.end_us
    assert period_after(budget, period).end_us == period.end_us + QUARTER_US
