"""`/v1/analytics`: what stands out in the documents of the analytics, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query

from api.ingest import wall_clock_us
from api.openapi import problems
from api.ports import InPorts
from api.problems import invalid_value, not_found
from api.resources.analytics_anomalies import AnomaliesView, anomalies_view
from api.resources.analytics_incidents import SimilarIncidentsView, similar_incidents_view
from api.resources.analytics_savings import SavingsView, savings_view
from api.resources.analytics_search import SearchBody, SearchView, document_view
from api.resources.values import Time
from api.rfc3339 import parse_time_us
from events.envelope import Name
from projections.analytics.anomalies import SURPRISING
from projections.analytics.filters import BadConditionError
from projections.analytics.questions import (
    DAY_US,
    NothingKnownError,
    anomalies_of,
    savings_of,
    similar_incidents,
)
from projections.analytics.search import NoSuchDocumentError, search

router = APIRouter(prefix="/v1/analytics", tags=["analytics"])

MAX_DAYS = 400
SAVINGS_DAYS = 7

Tenant = Annotated[Name, Query(description="Tenant.", examples=["acme"])]


class Among(StrEnum):
    """Whose past."""

    PROVIDER = "provider"
    ALL = "all"


@router.post("/search", summary="Search documents", responses=problems(400, 404, 413, 422, 503))
async def search_documents(body: SearchBody, ports: InPorts) -> SearchView:
    """Documents like a text, or like another document, among those that the filters let through."""
    try:
        found = await search(ports.analytics, body.wanted())
    except BadConditionError as error:
        raise invalid_value(f"/conditions/{error.index}", str(error)) from None
    except NoSuchDocumentError as error:
        raise not_found("document", f"{error}: search by text to find one") from None
    vectors = await ports.analytics.vectors()
    return SearchView(
        collection=body.collection,
        vectors=vectors.name,
        documents=[document_view(body.collection, one) for one in found],
    )


@router.get("/anomalies", summary="What is unusual", responses=problems(422, 503))
async def show_anomalies(
    *,
    tenant: Tenant,
    ports: InPorts,
    at: Annotated[
        Time | None, Query(description="An instant of the window; default: the last full one.")
    ] = None,
    past_days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="How far the past goes back.")] = 14,
    surprising: Annotated[
        float, Query(ge=1, le=100, description="From how many deviations on a figure is told.")
    ] = SURPRISING,
) -> AnomaliesView:
    """A tenant's window against its own past, and whether its peers went the same way."""
    length_s = ports.settings.analytics.window_s
    at_us = wall_clock_us() - length_s * 1_000_000 if at is None else parse_time_us(at)
    found = await anomalies_of(ports.analytics, tenant, at_us, past_days=past_days, surprising=surprising)
    return anomalies_view(tenant, length_s, found)


@router.get("/similar-incidents", summary="Has this happened before", responses=problems(404, 422, 503))
async def show_similar_incidents(
    *,
    provider: Annotated[Name, Query(description="Provider.", examples=["openai"])],
    ports: InPorts,
    at: Annotated[Time | None, Query(description="As of then; default: now.")] = None,
    among: Annotated[Among, Query(description="Whose past: of the provider, or of all.")] = Among.PROVIDER,
    follow_s: Annotated[
        int, Query(ge=300, le=86_400, description="How long after a state is looked at what followed.")
    ] = 3_600,
    limit: Annotated[int, Query(ge=1, le=20, description="Most incidents.")] = 5,
) -> SimilarIncidentsView:
    """A provider's newest state, past states like it, and what followed them."""
    at_us = wall_clock_us() if at is None else parse_time_us(at)
    try:
        found = await similar_incidents(
            ports.analytics,
            provider,
            at_us,
            among=provider if among is Among.PROVIDER else None,
            limit=limit,
            follow_s=follow_s,
        )
    except NothingKnownError as error:
        raise not_found("state", str(error)) from None
    return similar_incidents_view(found)


@router.get("/savings", summary="What could cost less", responses=problems(422, 503))
async def show_savings(
    *,
    tenant: Tenant,
    ports: InPorts,
    start: Annotated[
        Time | None, Query(alias="from", description="Windows from then on; default: 7 days before `to`.")
    ] = None,
    end: Annotated[Time | None, Query(alias="to", description="Windows before then; default: now.")] = None,
) -> SavingsView:
    """Cheaper models and providers that do as well, cached tokens that were missed, retries that were paid twice."""
    to_us = wall_clock_us() if end is None else parse_time_us(end)
    from_us = max(0, to_us - SAVINGS_DAYS * DAY_US) if start is None else parse_time_us(start)
    if not from_us < to_us <= from_us + MAX_DAYS * DAY_US:
        raise invalid_value("from", f"has to lie before `to`, by at most {MAX_DAYS} days")
    return savings_view(tenant, await savings_of(ports.analytics, tenant, from_us, to_us))
