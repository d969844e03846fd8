"""`/v1/history`: events as they were, page by page."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.history_asked import DAY_US, Fresh, InPage
from api.openapi import problems
from api.ports import InPorts, Ports
from api.resources.history import (
    AlertEventView,
    AlertPage,
    BreakerEventView,
    BreakerPage,
    HealthEventView,
    HealthPage,
    RoutingEventView,
    RoutingPage,
    UsageEventView,
    UsagePage,
    V,
    event_view,
)
from api.rfc3339 import format_time_us
from events.alert_raised import AlertKind, AlertSeverity
from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import Name, OutcomeKind
from events.provider_health_checked import HealthStatus
from projections.history.queries.page import Listing, read_page

router = APIRouter(prefix="/v1", tags=["history"])

MONTH_US = 30 * DAY_US

OfTenant = Annotated[Name | None, Query(description="Only of this tenant.")]
OfProvider = Annotated[Name | None, Query(description="Only of this provider.")]
OfModel = Annotated[Name | None, Query(description="Only of this model.")]
OfRegion = Annotated[Name | None, Query(description="Only of this region.")]
OfRequest = Annotated[Name | None, Query(description="Only of this request.")]


@router.get(
    "/history/usage",
    summary="Calls",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("usage"))],
)
async def list_usage(
    *,
    page: InPage,
    ports: InPorts,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    model: OfModel = None,
    region: OfRegion = None,
    org: Annotated[Name | None, Query(description="Only of this org.")] = None,
    team: Annotated[Name | None, Query(description="Only of this team.")] = None,
    user: Annotated[Name | None, Query(description="Only of this user.")] = None,
    key: Annotated[Name | None, Query(description="Only of this API key.")] = None,
    outcome: Annotated[OutcomeKind | None, Query(description="Only those that ended so.")] = None,
    request_id: OfRequest = None,
    correlation_id: Annotated[Name | None, Query(description="Only with this correlation id.")] = None,
) -> UsagePage:
    """Calls by the time they happened, by default of the last day."""
    filters = {
        "tenant": tenant,
        "provider": provider,
        "model": model,
        "region": region,
        "org": org,
        "team": team,
        "user": user,
        "api_key": key,
        "outcome": outcome,
        "request_id": request_id,
        "correlation_id": correlation_id,
    }
    return UsagePage(**await page_of(ports, UsageEventView, page.listing("usage", filters), page.limit))


@router.get(
    "/history/health",
    summary="Health checks",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("health"))],
)
async def list_health(
    *,
    page: InPage,
    ports: InPorts,
    provider: OfProvider = None,
    model: OfModel = None,
    region: OfRegion = None,
    status: Annotated[HealthStatus | None, Query(description="Only with this verdict.")] = None,
) -> HealthPage:
    """Health checks by time, by default of the last day."""
    filters = {"provider": provider, "model": model, "region": region, "status": status}
    return HealthPage(**await page_of(ports, HealthEventView, page.listing("health", filters), page.limit))


@router.get(
    "/history/breakers",
    summary="Transitions of breakers",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("breakers"))],
)
async def list_transitions(
    *,
    page: InPage,
    ports: InPorts,
    provider: OfProvider = None,
    model: OfModel = None,
    region: OfRegion = None,
    state: Annotated[BreakerState | None, Query(description="Only those into this state.")] = None,
    cause: Annotated[TransitionCause | None, Query(description="Only by this rule.")] = None,
) -> BreakerPage:
    """Transitions of all breakers by time, by default of the last 30 days."""
    filters = {"provider": provider, "model": model, "region": region, "to_state": state, "cause": cause}
    return BreakerPage(
        **await page_of(ports, BreakerEventView, page.listing("breakers", filters, MONTH_US), page.limit)
    )


@router.get(
    "/history/routing",
    summary="Routing decisions",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("routing"))],
)
async def list_routing(
    *,
    page: InPage,
    ports: InPorts,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    model: OfModel = None,
    region: OfRegion = None,
    strategy: Annotated[Name | None, Query(description="Only by this strategy.")] = None,
    request_id: OfRequest = None,
) -> RoutingPage:
    """Decisions by time, by default of the last day; `/v1/decisions/{request_id}` explains one."""
    filters = {
        "tenant": tenant,
        "provider": provider,
        "model": model,
        "region": region,
        "strategy": strategy,
        "request_id": request_id,
    }
    return RoutingPage(**await page_of(ports, RoutingEventView, page.listing("routing", filters), page.limit))


@router.get(
    "/history/alerts",
    summary="Alerts",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("alerts"))],
)
async def list_alerts(
    *,
    page: InPage,
    ports: InPorts,
    tenant: OfTenant = None,
    kind: Annotated[AlertKind | None, Query(description="Only of this kind.")] = None,
    severity: Annotated[AlertSeverity | None, Query(description="Only of this severity.")] = None,
    subject: Annotated[Name | None, Query(description="Only about this budget or deployment.")] = None,
) -> AlertPage:
    """Alerts by time, by default of the last 30 days."""
    filters = {"tenant": tenant, "kind": kind, "severity": severity, "subject": subject}
    return AlertPage(
        **await page_of(ports, AlertEventView, page.listing("alerts", filters, MONTH_US), page.limit)
    )


async def page_of(ports: Ports, view: type[V], listing: Listing, limit: int) -> dict[str, Any]:
    """The fields of a page."""
    page = await read_page(ports.history, listing, limit)
    items = [event_view(view, listing.topic, dict(row)) for row in page.rows]
    return {
        "start": format_time_us(listing.span.start_us),
        "end": format_time_us(listing.span.end_us),
        "next": page.next,
        "items": items,
    }
