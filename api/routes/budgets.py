"""`/v1/budgets`: what may be spent, and how much of it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.asked import Asked, AskedFor, say_positions
from api.generation_asked import InLook, Look, one_time
from api.history_asked import AsOf, Fresh, past_instant
from api.openapi import problems
from api.ports import InPorts, Ports
from api.problems import ProblemError, not_found
from api.resources.budget import BudgetBody, BudgetList, BudgetView, budget_view
from api.resources.values import Accepted
from api.writes import IfMatch, append_one, check_if_match, operator_event
from events.budget_changed import BudgetChange, BudgetChanged
from events.envelope import Name
from events.money import parse_usd
from projections.history.queries.budgets_as_of import budgets_as_of, status_as_of
from projections.live.budget import Budget, Budgets, days_needed, status
from projections.live.period import period_of
from projections.live.spend import SpendDay, spend_id

router = APIRouter(prefix="/v1", tags=["budgets"])

FRESH = Fresh("budgets", "usage", "adjustments")

Tenant = Annotated[Name, Path(description="Tenant that the budget is under.", examples=["acme"])]
BudgetId = Annotated[Name, Path(description="Name of the budget within the tenant.", examples=["monthly"])]


@router.get(
    "/budgets",
    summary="Budgets of all tenants",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(one_time)],
)
async def list_budgets(
    *,
    asked: AskedFor,
    ports: InPorts,
    look: InLook,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most budgets of one answer.")] = 100,
    after: Annotated[str | None, Query(description="`next` of the answer before.", max_length=600)] = None,
    as_of: AsOf = None,
) -> BudgetList:
    """Budgets by tenant and id, each as it stands now; `next` continues the list."""
    if as_of is not None:
        at_us = past_instant(as_of, asked)
        await FRESH.wait(ports, response, asked.at_least)
        chosen, following = _some(await budgets_as_of(ports.history, at_us), limit, after)
        return BudgetList(budgets=await _views_as_of(ports, chosen, at_us), next=following)
    answer = await look.reads.every(asked, ports.kinds.budgets)
    chosen, following = _some(answer.states, limit, after)
    views = await _views(ports, look, asked, chosen)
    say_positions(response, answer.positions)
    return BudgetList(budgets=views, next=following)


@router.get(
    "/budgets/{tenant}",
    summary="Budgets of a tenant",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(one_time)],
)
async def list_tenant_budgets(
    *,
    tenant: Tenant,
    asked: AskedFor,
    ports: InPorts,
    look: InLook,
    response: Response,
    as_of: AsOf = None,
) -> BudgetList:
    """The tenant's budgets by id, each as it stands now; empty for a tenant without any."""
    if as_of is not None:
        at_us = past_instant(as_of, asked)
        await FRESH.wait(ports, response, asked.at_least)
        held = (await budgets_as_of(ports.history, at_us, tenant)).get(tenant, Budgets(tenant))
        chosen = [(tenant, budget) for _, budget in sorted(held.budgets.items())]
        return BudgetList(budgets=await _views_as_of(ports, chosen, at_us))
    answer = await look.reads.some(asked, ports.kinds.budgets, [tenant])
    found = answer.states.get(tenant, Budgets(tenant))
    views = await _views(
        ports, look, asked, [(tenant, budget) for _, budget in sorted(found.budgets.items())]
    )
    say_positions(response, answer.positions)
    return BudgetList(budgets=views)


@router.get(
    "/budgets/{tenant}/{budget_id}",
    summary="One budget",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(one_time)],
)
async def show_budget(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    asked: AskedFor,
    ports: InPorts,
    look: InLook,
    response: Response,
    as_of: AsOf = None,
) -> BudgetView:
    """The budget, what was spent of it in its present period, and what remains. `ETag` is its version."""
    if as_of is not None:
        at_us = past_instant(as_of, asked)
        await FRESH.wait(ports, response, asked.at_least)
        return await _budget_as_of(ports, tenant, budget_id, at_us)
    answer = await look.reads.some(asked, ports.kinds.budgets, [tenant])
    budget = answer.states.get(tenant, Budgets(tenant)).budgets.get(budget_id)
    if budget is None:
        raise _no_budget(tenant, budget_id)
    [view] = await _views(ports, look, asked, [(tenant, budget)])
    response.headers["ETag"] = f'"{budget.version}"'
    say_positions(response, answer.positions)
    return view


@router.put(
    "/budgets/{tenant}/{budget_id}",
    status_code=202,
    summary="Set a budget",
    responses=problems(400, 412, 413, 422, 429, 503),
)
async def set_budget(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    body: BudgetBody,
    request: Request,
    ports: InPorts,
    response: Response,
    if_match: IfMatch = None,
) -> Accepted:
    """Set the budget, whole. What was spent in its period before counts too."""
    known = await _budgets_now(ports, tenant)
    check_if_match(if_match, known.budgets[budget_id].version if budget_id in known.budgets else 0)
    values = body.model_dump(exclude={"limit_usd", "rollover_cap_usd"})
    event = operator_event(
        BudgetChanged,
        correlation_id=request.state.request_id,
        **values
        | {
            "tenant": tenant,
            "budget_id": budget_id,
            "version": _last_version(known, budget_id) + 1,
            "limit_nano_usd": parse_usd(body.limit_usd),
            "rollover_cap_nano_usd": parse_usd(body.rollover_cap_usd),
        },
    )
    assert isinstance(event, BudgetChanged)
    return Accepted(
        version=event.version, positions=await append_one(ports, event, response, request.state.traceparent)
    )


@router.delete(
    "/budgets/{tenant}/{budget_id}",
    status_code=202,
    summary="Remove a budget",
    responses=problems(404, 412, 422, 429, 503),
)
async def remove_budget(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    request: Request,
    ports: InPorts,
    response: Response,
    actor: Annotated[Name, Query(description="Who removes it.")] = "api",
    reason: Annotated[str, Query(description="Why.", max_length=1000)] = "",
    if_match: IfMatch = None,
) -> Accepted:
    """Remove the budget; what was spent stays known."""
    known = await _budgets_now(ports, tenant)
    budget = known.budgets.get(budget_id)
    if budget is None:
        raise _no_budget(tenant, budget_id)
    check_if_match(if_match, budget.version)
    event = operator_event(
        BudgetChanged,
        correlation_id=request.state.request_id,
        tenant=tenant,
        budget_id=budget_id,
        change=BudgetChange.REMOVED,
        version=budget.version + 1,
        level=budget.level,
        subject=budget.subject,
        limit_nano_usd=0,
        actor=actor,
        reason=reason,
    )
    return Accepted(
        version=budget.version + 1,
        positions=await append_one(ports, event, response, request.state.traceparent),
    )


async def _budgets_now(ports: Ports, tenant: str) -> Budgets:
    """The tenant's budgets as they are in the store by now."""
    found = await ports.cache.fetch_newest(ports.kinds.budgets, [tenant])
    return found[tenant] or Budgets(tenant)


def _last_version(known: Budgets, budget_id: str) -> int:
    budget = known.budgets.get(budget_id)
    return budget.version if budget is not None else known.removed.get(budget_id, 0)


async def _views(
    ports: Ports, look: Look, asked: Asked, chosen: Sequence[tuple[str, Budget]]
) -> list[BudgetView]:
    """How the budgets stand at this instant, from one look at what was spent."""
    now_us = look.at_us
    needed = {
        spend_id(tenant, budget.node, day)
        for tenant, budget in chosen
        for day in days_needed(budget, period_of(budget, now_us))
    }
    spent = await look.reads.also(asked, ports.kinds.spend, needed)

    def view(tenant: str, budget: Budget) -> BudgetView:
        def spend_of(node: str, day: int) -> SpendDay | None:
            return spent.get(spend_id(tenant, node, day))

        return budget_view(tenant, status(budget, now_us, spend_of), now_us)

    return [view(tenant, budget) for tenant, budget in chosen]


def _some(
    states: Mapping[str, Budgets], limit: int, after: str | None
) -> tuple[list[tuple[str, Budget]], str | None]:
    """The budgets of a page with their tenants, and what continues the list."""
    listed = {
        f"{of.tenant}/{budget_id}": (of.tenant, budget)
        for of in states.values()
        for budget_id, budget in of.budgets.items()
    }
    rest = sorted(name for name in listed if after is None or name > after)
    return [listed[name] for name in rest[:limit]], rest[limit - 1] if len(rest) > limit else None


async def _budget_as_of(ports: Ports, tenant: str, budget_id: str, at_us: int) -> BudgetView:
    held = (await budgets_as_of(ports.history, at_us, tenant)).get(tenant, Budgets(tenant))
    budget = held.budgets.get(budget_id)
    if budget is None:
        raise not_found("budget", f"{tenant} had no budget {budget_id} by then")
    [view] = await _views_as_of(ports, [(tenant, budget)], at_us)
    return view


async def _views_as_of(ports: Ports, chosen: Sequence[tuple[str, Budget]], at_us: int) -> list[BudgetView]:
    """How the budgets stood at that instant, from the calls that were on the log by then."""
    return [
        budget_view(tenant, await status_as_of(ports.history, tenant, budget, at_us), at_us)
        for tenant, budget in chosen
    ]


def _no_budget(tenant: str, budget_id: str) -> ProblemError:
    return not_found("budget", f"{tenant} has no budget {budget_id}: PUT it to set it")
