"""`/v1/spend` and `/v1/routing`: what a tenant spent, and where its requests went."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.asked import AskedFor, say_positions
from api.ingest import wall_clock_us
from api.openapi import problems
from api.ports import InPorts
from api.problems import invalid_value, not_found
from api.resources.spend import RoutingView, SpendView, SpentOnDay, Sums, routing_view, sums
from api.rfc3339 import format_time_us, parse_time_us
from events.budget_changed import BudgetLevel
from events.envelope import Name
from projections.live.node import Node
from projections.live.period import QUARTER_US
from projections.live.spend import NOTHING, QUARTERS_PER_DAY, days_of, spend_id

router = APIRouter(prefix="/v1", tags=["spend"])

MAX_DAYS = 400
_DAY_US = QUARTER_US * QUARTERS_PER_DAY

Tenant = Annotated[Name, Path(description="Tenant.", examples=["acme"])]


@router.get("/spend/{tenant}", summary="What was spent", responses=problems(422, 503, 504))
async def show_spend(
    *,
    tenant: Tenant,
    asked: AskedFor,
    ports: InPorts,
    response: Response,
    org: Annotated[Name | None, Query(description="Only of this org.")] = None,
    team: Annotated[Name | None, Query(description="Only of this team.")] = None,
    user: Annotated[Name | None, Query(description="Only of this user.")] = None,
    key: Annotated[Name | None, Query(description="Only of this API key.")] = None,
    provider: Annotated[Name | None, Query(description="Only calls to this provider.")] = None,
    model: Annotated[Name | None, Query(description="Only calls to this model of the provider.")] = None,
    start: Annotated[
        str | None, Query(alias="from", description="RFC 3339, a full quarter hour; default: today, UTC.")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="RFC 3339, a full quarter hour; default: now.")
    ] = None,
) -> SpendView:
    """Sums of a tenant's calls by event time, at most of 400 days, whole or narrowed to one level and provider."""
    now_us = wall_clock_us()
    quarters = range(
        _quarter(start, "from", now_us // _DAY_US * QUARTERS_PER_DAY),
        _quarter(end, "to", now_us // QUARTER_US + 1),
    )
    if quarters.start >= quarters.stop:
        raise invalid_value("to", "must be after from")
    days = days_of(quarters)
    if len(days) > MAX_DAYS:
        raise invalid_value(
            "from", f"the range spans {len(days)} days, at most {MAX_DAYS} are summed at once"
        )
    node = str(_node(org=org, team=team, user=user, key=key, provider=provider, model=model))
    ids = {day: spend_id(tenant, node, day) for day in days}
    answer = await ports.reads.some(asked, ports.kinds.spend, list(ids.values()))
    total = NOTHING
    on_days = []
    for day, name in ids.items():
        state = answer.states.get(name)
        first = day * QUARTERS_PER_DAY
        spent = state.between(quarters.start - first, quarters.stop - first) if state is not None else NOTHING
        if spent.calls:
            total = total.plus(spent)
            on_days.append(SpentOnDay(day=_date(day), **sums(spent)))
    say_positions(response, answer.positions)
    return SpendView(
        tenant=tenant,
        node=node,
        start=format_time_us(quarters.start * QUARTER_US),
        end=format_time_us(quarters.stop * QUARTER_US),
        total=Sums(**sums(total)),
        days=on_days,
    )


@router.get("/routing/{tenant}", summary="Where requests went", responses=problems(404, 422, 503, 504))
async def show_routing(tenant: Tenant, asked: AskedFor, ports: InPorts, response: Response) -> RoutingView:
    """Counts of the tenant's routing decisions, and the last one with its reasons."""
    answer = await ports.reads.some(asked, ports.kinds.routing, [tenant])
    routing = answer.states.get(tenant)
    if routing is None:
        raise not_found("routing", f"no RoutingDecided of {tenant} was seen yet")
    say_positions(response, answer.positions)
    return routing_view(routing)


def _quarter(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    try:
        time_us = parse_time_us(text)
    except ValueError as error:
        raise invalid_value(name, str(error)) from None
    if time_us % QUARTER_US or time_us < 0:
        raise invalid_value(name, "must be a full quarter hour since 1970, for example 2026-03-01T12:15:00Z")
    return time_us // QUARTER_US


def _node(
    *,
    org: str | None,
    team: str | None,
    user: str | None,
    key: str | None,
    provider: str | None,
    model: str | None,
) -> Node:
    given = {
        level: subject
        for level, subject in (
            (BudgetLevel.ORG, org),
            (BudgetLevel.TEAM, team),
            (BudgetLevel.USER, user),
            (BudgetLevel.KEY, key),
        )
        if subject is not None
    }
    if len(given) > 1:
        raise invalid_value("org", "give one of org, team, user and key: each is summed by itself")
    if model is not None and provider is None:
        raise invalid_value("model", "goes with its provider")
    level, subject = next(iter(given.items()), (BudgetLevel.TENANT, None))
    return Node(level, subject, provider, model)


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
