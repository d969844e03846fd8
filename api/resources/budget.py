"""A budget as the API shows it, and as an operator sets it."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval, MaxLen
from pydantic import Field

from api.resources.values import Body, Flag, TimeOut, Usd, UsdOut, View, Whole
from api.rfc3339 import format_time_us
from events.budget_changed import BudgetLevel, BudgetPeriod
from events.envelope import ErrorText, Name, ProviderName
from events.money import format_usd
from projections.live.budget import BudgetState, BudgetStatus

Percent = Annotated[Whole, Interval(ge=1, le=1000)]


class BudgetBody(Body):
    """A budget, whole, as it shall be from now on."""

    level: BudgetLevel = Field(BudgetLevel.TENANT, description="Whose spending is limited.")
    subject: Name | None = Field(None, description="Id of the org, team, user or key; null at level TENANT.")
    provider: ProviderName | None = Field(None, description="Only calls to this provider.")
    model: Name | None = Field(None, description="Only calls to this model of the provider.")
    period: BudgetPeriod = Field(BudgetPeriod.MONTH, description="After what time spending starts anew.")
    rolling_hours: Annotated[Whole, Interval(ge=1, le=24 * 366)] | None = Field(
        None, description="Length of a ROLLING period, hours."
    )
    zone: Annotated[str, MaxLen(64)] = Field(
        "UTC", description="IANA time zone that periods begin in.", examples=["Europe/Berlin"]
    )
    limit_usd: Usd = Field(description="Limit of one period, US dollars.")
    hard: Flag = Field(
        True, description="True: gateways are to deny calls once `state` is EXHAUSTED; false: it only alerts."
    )
    soft_limits_percent: Annotated[list[Percent], MaxLen(20)] = Field(
        [50, 80, 100], description="An alert is raised once per threshold and period."
    )
    rollover_cap_usd: Usd = Field("0", description="Most of an unspent limit that the next period gets.")
    actor: Name = Field("api", description="Who sets it.")
    reason: ErrorText = Field("", description="Why.")


class BudgetView(View):
    """A budget and how it stands in the period of `at`."""

    tenant: str
    budget_id: str
    version: int
    level: BudgetLevel
    subject: str | None
    provider: str | None
    model: str | None
    period: BudgetPeriod
    rolling_hours: int | None
    zone: str
    hard: bool
    soft_limits_percent: list[int]
    rollover_cap_usd: UsdOut
    changed_at: TimeOut
    actor: str
    reason: str
    state: BudgetState
    limit_usd: UsdOut = Field(description="Limit of this period as it was set.")
    rollover_usd: UsdOut = Field(description="What the period before left over for this one.")
    spent_usd: UsdOut = Field(description="Spent in this period.")
    remaining_usd: UsdOut = Field(description="What may still be spent; never negative.")
    reached_percent: list[int] = Field(description="Soft limits that were reached.")
    calls: int = Field(description="Calls in this period.")
    unpriced_calls: int = Field(
        description="Calls among them without a known price: they count for nothing above."
    )
    period_start: TimeOut
    period_end: TimeOut = Field(description="First instant after the period.")
    at: TimeOut


class BudgetList(View):
    """Budgets in the order of tenant and id; `next` continues the list, null at its end."""

    budgets: list[BudgetView]
    next: str | None = Field(None, description="Give it as `after` to continue.")


def budget_view(tenant: str, status: BudgetStatus, now_us: int) -> BudgetView:
    """The view of a budget's status."""
    budget = status.budget
    return BudgetView(
        tenant=tenant,
        budget_id=budget.budget_id,
        version=budget.version,
        level=budget.level,
        subject=budget.subject,
        provider=budget.provider,
        model=budget.model,
        period=budget.period,
        rolling_hours=budget.rolling_hours,
        zone=budget.zone,
        hard=budget.hard,
        soft_limits_percent=list(budget.soft_limits_percent),
        rollover_cap_usd=format_usd(budget.rollover_cap_nano_usd),
        changed_at=format_time_us(budget.changed_us),
        actor=budget.actor,
        reason=budget.reason,
        state=status.state,
        limit_usd=format_usd(budget.limit_nano_usd),
        rollover_usd=format_usd(status.rollover_nano_usd),
        spent_usd=format_usd(status.spent.cost_nano_usd),
        remaining_usd=format_usd(status.remaining_nano_usd),
        reached_percent=list(status.reached_percent),
        calls=status.spent.calls,
        unpriced_calls=status.spent.unpriced_calls,
        period_start=format_time_us(status.period.start_us),
        period_end=format_time_us(status.period.end_us),
        at=format_time_us(now_us),
    )
