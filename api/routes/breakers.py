"""`/v1/breakers`: circuit breakers, why they are as they are, and what an operator forces."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.asked import EVENTUALLY, AskedFor, say_positions
from api.generation_asked import InLook, one_time
from api.history_asked import AsOf, Fresh, InPage, past_instant
from api.ingest import wall_clock_us
from api.openapi import problems
from api.ports import InPorts, Ports
from api.problems import invalid_value, not_found
from api.resources.breaker import (
    BreakerList,
    BreakerView,
    OverrideBody,
    OverrideView,
    breaker_view,
    standing_view,
)
from api.resources.history import BreakerEventView, BreakerPage
from api.resources.values import Accepted
from api.rfc3339 import parse_time_us
from api.routes.history import MONTH_US, page_of
from api.writes import append_one, operator_event
from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.breaker_transitioned import BreakerState
from events.envelope import Name
from projections.history.queries.as_of import breakers_as_of
from projections.history.queries.page import DEPLOYMENT
from projections.history.queries.scope import ALL, Scope
from projections.live.provider import PolicyInForce

router = APIRouter(prefix="/v1", tags=["breakers"])

FRESH = Fresh("breakers", "outcomes", "providers")

Deployment = Annotated[
    str, Path(description="provider/model[@region]", min_length=1, max_length=800, examples=["openai/gpt-4o"])
]
Target = Annotated[
    str,
    Path(
        description="A deployment (provider/model[@region]), or a provider alone for all its deployments.",
        min_length=1,
        max_length=800,
        examples=["openai/gpt-4o"],
    ),
]


@router.get(
    "/breakers",
    summary="All breakers",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(one_time)],
)
async def list_breakers(
    *,
    asked: AskedFor,
    ports: InPorts,
    look: InLook,
    response: Response,
    provider: Annotated[Name | None, Query(description="Only those of this provider.")] = None,
    state: Annotated[BreakerState | None, Query(description="Only those in this effective state.")] = None,
    as_of: AsOf = None,
) -> BreakerList:
    """Every breaker with its effective state, by name. Deployments appear with their first outcome."""
    if as_of is not None:
        at_us = past_instant(as_of, asked)
        await FRESH.wait(ports, response, asked.at_least)
        scope = ALL if provider is None else Scope((provider,))
        found = await breakers_as_of(ports.history, at_us, scope)
    else:
        answer = await look.reads.every(asked, ports.kinds.breaker)
        say_positions(response, answer.positions)
        at_us, found = look.at_us, answer.states
    views = [breaker_view(breaker, at_us) for _, breaker in sorted(found.items())]
    return BreakerList(
        breakers=[
            view
            for view in views
            if (provider is None or view.provider == provider) and (state is None or view.state == state)
        ]
    )


@router.get(
    "/breakers/{target:path}/override",
    summary="The override in force",
    responses=problems(404, 422, 503, 504),
)
async def show_override(target: Target, asked: AskedFor, ports: InPorts, response: Response) -> OverrideView:
    """What is forced on a deployment, or on a provider as a whole; 404 when nothing is."""
    now_us = wall_clock_us()
    if "/" in target:
        breakers = await ports.reads.some(asked, ports.kinds.breaker, [target])
        breaker, positions = breakers.states.get(target), breakers.positions
        view = breaker_view(breaker, now_us).override if breaker is not None else None
    else:
        overrides = await ports.reads.some(asked, ports.kinds.override, [target])
        standing, positions = overrides.states.get(target), overrides.positions
        view = standing_view(standing, now_us) if standing is not None else None
    if view is None:
        raise not_found("override", f"nothing is forced on {target}: PUT it to force something")
    say_positions(response, positions)
    return view


@router.get(
    "/breakers/{deployment:path}/history",
    summary="Transitions of one breaker",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(Fresh("breakers"))],
)
async def show_transitions(deployment: Deployment, page: InPage, ports: InPorts) -> BreakerPage:
    """What the breaker did, when and why, by default of the last 30 days."""
    listing = page.listing("breakers", {DEPLOYMENT: deployment}, MONTH_US)
    return BreakerPage(**await page_of(ports, BreakerEventView, listing, page.limit))


@router.get(
    "/breakers/{deployment:path}",
    summary="One breaker",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(one_time)],
)
async def show_breaker(
    *,
    deployment: Deployment,
    asked: AskedFor,
    ports: InPorts,
    look: InLook,
    response: Response,
    as_of: AsOf = None,
) -> BreakerView:
    """The breaker with its reason, the figures of its last transition and of its window now, gates and override."""
    if as_of is not None:
        at_us = past_instant(as_of, asked)
        await FRESH.wait(ports, response, asked.at_least)
        return await _breaker_as_of(ports, deployment, at_us)
    reads, kinds = look.reads, ports.kinds
    answer = await reads.some(asked, kinds.breaker, [deployment])
    breaker = answer.states.get(deployment)
    if breaker is None:
        raise not_found(
            "breaker", f"no outcome of {deployment} was seen yet; GET /v1/breakers lists those that were"
        )
    windows = await reads.also(asked, kinds.window, [deployment])
    settings = (await reads.also(asked, kinds.provider, [breaker.provider])).get(breaker.provider)
    policy = settings.policy_for(deployment) if settings is not None else PolicyInForce()
    say_positions(response, answer.positions)
    return breaker_view(breaker, look.at_us, windows.get(deployment), policy)


async def _breaker_as_of(ports: Ports, deployment: str, at_us: int) -> BreakerView:
    found = (await breakers_as_of(ports.history, at_us, Scope.of_deployment(deployment))).get(deployment)
    if found is None:
        raise not_found("breaker", f"the history has no outcome of {deployment} until then")
    return breaker_view(found, at_us)


@router.put(
    "/breakers/{target:path}/override",
    status_code=202,
    summary="Force a breaker",
    responses=problems(400, 413, 422, 429, 503),
)
async def force_breaker(
    target: Target, body: OverrideBody, request: Request, ports: InPorts, response: Response
) -> Accepted:
    """Force a deployment's breaker, or those of all deployments of a provider, also ones first seen later."""
    expires_at = parse_time_us(body.expires_at) if body.expires_at is not None else None
    if expires_at is not None and expires_at <= wall_clock_us():
        raise invalid_value("/expires_at", "is over already")
    if body.expires_in_s is not None:
        expires_at = wall_clock_us() + body.expires_in_s * 1_000_000
    said = {"mode": body.mode, "actor": body.actor, "reason": body.reason, "expires_at": expires_at}
    return await _override(ports, request, response, target, said)


@router.delete(
    "/breakers/{target:path}/override",
    status_code=202,
    summary="Clear an override",
    responses=problems(422, 429, 503),
)
async def clear_override(
    *,
    target: Target,
    request: Request,
    ports: InPorts,
    response: Response,
    actor: Annotated[Name, Query(description="Who does it.")] = "api",
    reason: Annotated[str, Query(description="Why.", max_length=1000)] = "",
) -> Accepted:
    """Take the force away: the breaker is closed, with a fresh window. Harmless where none is in force."""
    said = {"mode": OverrideMode.NONE, "actor": actor, "reason": reason}
    return await _override(ports, request, response, target, said)


async def _override(
    ports: Ports, request: Request, response: Response, target: str, said: dict[str, Any]
) -> Accepted:
    provider, model, region = await _parts(ports, target)
    event = operator_event(
        BreakerOverridden,
        correlation_id=request.state.request_id,
        provider=provider,
        model=model,
        region=region,
        **said,
    )
    return Accepted(positions=await append_one(ports, event, response, request.state.traceparent))


async def _parts(ports: Ports, target: str) -> tuple[str, str | None, str | None]:
    """Provider, model and region. A known deployment knows them; in an unknown name the last @ begins the region."""
    provider, slash, rest = target.partition("/")
    if not slash:
        return provider, None, None
    if not provider or not rest:
        raise invalid_value("target", "must be provider/model[@region], or a provider alone")
    breaker = (await ports.reads.some(EVENTUALLY, ports.kinds.breaker, [target])).states.get(target)
    if breaker is not None:
        return breaker.provider, breaker.model, breaker.region
    model, at, region = rest.rpartition("@")
    return (provider, model, region) if at and model and region else (provider, rest, None)
