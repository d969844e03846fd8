"""`/v1/history/usage/...`: what usage came to, over time and split by who, what and how."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.history_asked import DAY_US, Fresh, From, To, instant, span_of
from api.openapi import problems
from api.ports import InPorts, Ports
from api.problems import invalid_value
from api.resources.usage_history import (
    SeriesView,
    SplitView,
    TrendsView,
    series_view,
    split_view,
    trends_view,
)
from events.envelope import Name, OutcomeKind
from projections.history.queries.question import Filters
from projections.history.queries.ranking import Measure, split
from projections.history.queries.series import series
from projections.history.queries.span import Span
from projections.history.queries.trends import trends
from projections.history.queries.usage import Dimension
from projections.history.rollups import Grain

router = APIRouter(prefix="/v1", tags=["history"])

WEEK_US = 7 * DAY_US
MONTH_US = 30 * DAY_US
MAX_WINDOWS = 3_000
MAX_TREND_DAYS = 31


class Window(StrEnum):
    """Length of a window; windows begin at full UTC minutes, hours and days."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def grain(self) -> Grain:
        return Grain[self.name]


async def usage_filters(
    *,
    tenant: Annotated[Name | None, Query(description="Only of this tenant.")] = None,
    provider: Annotated[Name | None, Query(description="Only to this provider.")] = None,
    model: Annotated[Name | None, Query(description="Only to this model.")] = None,
    region: Annotated[Name | None, Query(description="Only to this region.")] = None,
    user: Annotated[Name | None, Query(description="Only of this user.")] = None,
    org: Annotated[Name | None, Query(description="Only of this org; sums the calls one by one.")] = None,
    team: Annotated[Name | None, Query(description="Only of this team; sums the calls one by one.")] = None,
    key: Annotated[Name | None, Query(description="Only of this API key; sums the calls one by one.")] = None,
    outcome: Annotated[
        OutcomeKind | None, Query(description="Only those that ended so; sums the calls one by one.")
    ] = None,
) -> Filters:
    """Which calls are summed."""
    given: dict[Dimension, str | None] = {
        Dimension.TENANT: tenant,
        Dimension.PROVIDER: provider,
        Dimension.MODEL: model,
        Dimension.REGION: region,
        Dimension.USER: user,
        Dimension.ORG: org,
        Dimension.TEAM: team,
        Dimension.KEY: key,
        Dimension.OUTCOME: outcome,
    }
    return {dimension.column: value for dimension, value in given.items() if value is not None}


async def dimensions(
    by: Annotated[
        list[Dimension] | None,
        Query(description="Split by this; give it several times to split further.", max_length=9),
    ] = None,
) -> list[Dimension]:
    """What is split by, each once, in the order that was asked for."""
    return list(dict.fromkeys(by or ()))


CallsOf = Annotated[Filters, Depends(usage_filters)]
By = Annotated[list[Dimension], Depends(dimensions)]


@router.get(
    "/history/usage/series",
    summary="Usage over time",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("usage", "adjustments"))],
)
async def show_series(
    *,
    ports: InPorts,
    filters: CallsOf,
    by: By,
    window: Annotated[Window, Query(description="Length of a window.")] = Window.HOUR,
    start: From = None,
    end: To = None,
) -> SeriesView:
    """Sums, outcomes and latencies in windows, at most 3,000 windows and 10,000 points; the range is widened to full windows.

    Default range: as long as 60 minutes, 48 hours or 30 days.
    """
    grain = window.grain
    span = _span(start, end, _DEFAULT_WINDOWS[window] * grain.length_us).widened(grain.length_us)
    if (span.end_us - span.start_us) // grain.length_us > MAX_WINDOWS:
        raise invalid_value(
            "window", f"the range has over {MAX_WINDOWS} of them: take a longer window or a later from"
        )
    return series_view(span, window, by, await series(ports.history, span, grain, by, filters))


@router.get(
    "/history/usage/trends",
    summary="How usage goes",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("usage", "adjustments"))],
)
async def show_trends(*, ports: InPorts, filters: CallsOf, start: From = None, end: To = None) -> TrendsView:
    """The range beside the one before it, hour by hour and by the hour of the day; by default the last 7 days, at most 31."""
    span = _span(start, end, WEEK_US).widened(Grain.HOUR.length_us)
    if span.end_us - span.start_us > MAX_TREND_DAYS * DAY_US:
        raise invalid_value("from", f"the range is over {MAX_TREND_DAYS} days long")
    return trends_view(span, await trends(ports.history, span, filters))


@router.get(
    "/history/usage/top",
    summary="Top spenders",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("usage", "adjustments"))],
)
async def show_top(
    *,
    ports: InPorts,
    filters: CallsOf,
    by: By,
    measure: Annotated[Measure, Query(description="What groups are ranked by.")] = Measure.COST,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most groups of the answer.")] = 10,
    start: From = None,
    end: To = None,
) -> SplitView:
    """The groups with the highest cost (or calls, tokens, failures); by default users of tenants, of the last 30 days."""
    by = by or [Dimension.TENANT, Dimension.USER]
    return await _split(ports, _span(start, end, MONTH_US), by, filters, measure=measure, limit=limit)


@router.get(
    "/history/usage/cost",
    summary="What the cost consists of",
    responses=problems(422, 503, 504),
    dependencies=[Depends(Fresh("usage", "adjustments"))],
)
async def show_cost(
    *,
    ports: InPorts,
    filters: CallsOf,
    by: By,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most groups of the answer.")] = 1000,
    start: From = None,
    end: To = None,
) -> SplitView:
    """Cost by any dimensions, exact for any range; by default by provider and model, of the last 30 days."""
    by = by or [Dimension.PROVIDER, Dimension.MODEL]
    return await _split(ports, _span(start, end, MONTH_US), by, filters, measure=Measure.COST, limit=limit)


_DEFAULT_WINDOWS = {Window.MINUTE: 60, Window.HOUR: 48, Window.DAY: 30}


def _span(start: str | None, end: str | None, default_us: int) -> Span:
    return span_of(instant("from", start), instant("to", end), default_us)


async def _split(
    ports: Ports, span: Span, by: list[Dimension], filters: Filters, *, measure: Measure, limit: int
) -> SplitView:
    found = await split(ports.history, span, by, filters, measure=measure, limit=limit)
    return split_view(span, by, measure, found)
