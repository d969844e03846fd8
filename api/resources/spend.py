"""What was spent, and where requests went, as the API shows it."""

from __future__ import annotations

from pydantic import Field

from api.resources.values import TimeOut, UsdOut, View
from api.rfc3339 import format_time_us
from events.money import format_usd
from projections.live.routing import Routing
from projections.live.spend import Spent


class Sums(View):
    """Sums over calls."""

    cost_usd: UsdOut
    calls: int
    input_tokens: int
    output_tokens: int
    unpriced_calls: int = Field(description="Calls without a known price; they are not in cost_usd.")


class SpentOnDay(Sums):
    """Sums of one UTC day, as far as it lies in the range."""

    day: str = Field(examples=["2026-03-01"])


class SpendView(View):
    """What a tenant, or a part of it, spent in [from, to)."""

    tenant: str
    node: str = Field(description="What is summed, for example team=search;provider=openai.")
    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")
    total: Sums
    days: list[SpentOnDay] = Field(description="UTC days with calls, ascending.")


class LastDecisionView(View):
    """The last routing decision."""

    request_id: str
    at: TimeOut
    deployment: str | None = Field(description="Null when nothing could be chosen.")
    strategy: str
    attempt: int
    passed_over: dict[str, str] = Field(description="Why each other candidate was not chosen.")


class RoutingView(View):
    """Where a tenant's requests went."""

    tenant: str
    decisions: int
    unroutable: int = Field(description="Requests for which nothing could be chosen.")
    by_deployment: dict[str, int]
    by_strategy: dict[str, int]
    last: LastDecisionView | None


def sums(spent: Spent) -> dict[str, str | int]:
    """The fields of Sums."""
    return {
        "cost_usd": format_usd(spent.cost_nano_usd),
        "calls": spent.calls,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "unpriced_calls": spent.unpriced_calls,
    }


def routing_view(routing: Routing) -> RoutingView:
    """The view of a tenant's routing."""
    last = routing.last
    return RoutingView(
        tenant=routing.tenant,
        decisions=routing.decisions,
        unroutable=routing.unroutable,
        by_deployment=dict(sorted(routing.by_deployment.items())),
        by_strategy=dict(sorted(routing.by_strategy.items())),
        last=None
        if last is None
        else LastDecisionView(
            request_id=last.request_id,
            at=format_time_us(last.decided_us),
            deployment=last.deployment,
            strategy=last.strategy,
            attempt=last.attempt,
            passed_over=dict(last.passed_over),
        ),
    )
