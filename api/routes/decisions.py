"""`/v1/decisions`: why a request went where it went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from api.history_asked import Fresh
from api.openapi import problems
from api.ports import InPorts
from api.problems import not_found
from api.resources.decision import DecisionView, decision_view
from events.envelope import Name
from projections.history.queries.decision import explain

router = APIRouter(prefix="/v1", tags=["history"])

RequestId = Annotated[Name, Path(description="Id of the request, as its gateway sent it.", examples=["r-1"])]


@router.get(
    "/decisions/{request_id:path}",
    summary="Why this route",
    responses=problems(404, 422, 503, 504),
    dependencies=[Depends(Fresh("routing", "usage", "breakers", "outcomes", "providers"))],
)
async def explain_decision(
    request_id: RequestId,
    ports: InPorts,
    tenant: Annotated[Name | None, Query(description="Only of this tenant.")] = None,
) -> DecisionView:
    """The decisions of a request with the breakers and settings as they stood then, and the calls that followed."""
    explanation = await explain(ports.history, request_id, tenant)
    if not explanation.attempts and not explanation.calls:
        raise not_found(
            "decision", f"the history has no decision and no call of the request {request_id} (yet)"
        )
    return decision_view(request_id, explanation)
