"""What usage came to, over time and split, as the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from api.resources.values import TimeOut, UsdOut, View
from api.rfc3339 import format_time_us
from events.money import format_usd
from projections.history.queries.ranking import Measure, Split
from projections.history.queries.series import Point
from projections.history.queries.span import Span
from projections.history.queries.trends import Trends
from projections.history.queries.usage import Dimension, Group, Totals


@dataclass(frozen=True, slots=True)
class LatencyView:
    """Milliseconds that a half, 90, 95 and 99 percent of the calls did not exceed; off by at most 2%."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotals:
    """Sums over calls. (A series has thousands of these: made by us, they need no validation.)"""

    calls: int
    successes: int
    failures: Annotated[int, Field(description="Calls that ended by the provider's fault.")]
    outcomes: Annotated[
        dict[str, int], Field(description="Calls by how they ended, of those ways that occurred.")
    ]
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cost_usd: UsdOut
    unpriced_calls: Annotated[
        int, Field(description="Calls without a known price; they are not in cost_usd.")
    ]
    latency_ms: Annotated[LatencyView | None, Field(description="Null without calls.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePoint(UsageTotals):
    """One window."""

    at: Annotated[TimeOut, Field(description="Start of the window.")]


class UsageSeries(View):
    """The windows of one group."""

    group: dict[str, str | None] = Field(
        description="Value of each dimension; null where the calls had none.",
        examples=[{"provider": "openai"}],
    )
    points: list[UsagePoint] = Field(description="Ascending; a window without calls has none.")


class RangeView(View):
    """Of the calls in [from, to)."""

    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")


class SeriesView(RangeView):
    """Usage over time, by group."""

    window: str = Field(examples=["hour"])
    by: list[Dimension]
    series: list[UsageSeries]


class ChangeView(View):
    """How a figure moved against the range before: 0.25 is a quarter more; null where there was none before."""

    calls: float | None
    tokens: float | None
    cost: float | None
    failures: float | None
    p95_latency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfDay(UsageTotals):
    """All hours of the range that begin at this hour of the UTC day."""

    hour: Annotated[int, Field(ge=0, le=23)]


class TrendsView(RangeView):
    """A range of full hours beside the one of the same length before it."""

    total: UsageTotals
    before: UsageTotals
    change: ChangeView
    hours: list[UsagePoint] = Field(description="Ascending; an hour without calls has none.")
    hours_of_day: list[HourOfDay]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareView(UsageTotals):
    """One group, and how much of the whole it is."""

    group: Annotated[
        dict[str, str | None],
        Field(description="Value of each dimension; null where the calls had none."),
    ]
    share: Annotated[float, Field(description="Of the measure that groups are ranked by, 0 to 1.")]


class SplitView(RangeView):
    """Groups, the largest first."""

    by: list[Dimension]
    measure: Measure
    total: UsageTotals = Field(description="Of all groups, listed or not.")
    groups: list[ShareView]
    unlisted: int = Field(description="Groups that are smaller than those listed.")


def series_view(span: Span, window: str, by: Sequence[Dimension], points: Sequence[Point]) -> SeriesView:
    """The view of a series, groups in the order of their values."""
    groups: dict[Group, list[UsagePoint]] = {}
    for point in points:
        groups.setdefault(point.group, []).append(_point(point.at_us, point.totals))
    ordered = sorted(groups.items(), key=lambda item: [value or "" for value in item[0]])
    return SeriesView(
        **_range(span),
        window=window,
        by=list(by),
        series=[UsageSeries(group=_group(by, group), points=held) for group, held in ordered],
    )


def trends_view(span: Span, found: Trends) -> TrendsView:
    """The view of trends."""
    return TrendsView(
        **_range(span),
        total=UsageTotals(**_totals(found.total)),
        before=UsageTotals(**_totals(found.before)),
        change=_change(found.total, found.before),
        hours=[_point(at_us, totals) for at_us, totals in found.hours],
        hours_of_day=[HourOfDay(hour=hour, **_totals(totals)) for hour, totals in enumerate(found.of_day)],
    )


def split_view(span: Span, by: Sequence[Dimension], measure: Measure, found: Split) -> SplitView:
    """The view of a split."""
    whole = _measured(found.total, measure)
    return SplitView(
        **_range(span),
        by=list(by),
        measure=measure,
        total=UsageTotals(**_totals(found.total)),
        groups=[
            ShareView(
                group=_group(by, group),
                share=_measured(totals, measure) / whole if whole else 0.0,
                **_totals(totals),
            )
            for group, totals in found.groups
        ],
        unlisted=found.count - len(found.groups),
    )


def _range(span: Span) -> dict[str, str]:
    return {"start": format_time_us(span.start_us), "end": format_time_us(span.end_us)}


def _group(by: Sequence[Dimension], group: Group) -> dict[str, str | None]:
    return {dimension.value: value for dimension, value in zip(by, group, strict=True)}


def _point(at_us: int, totals: Totals) -> UsagePoint:
    return UsagePoint(at=format_time_us(at_us), **_totals(totals))


def _totals(totals: Totals) -> dict[str, Any]:
    """The fields of UsageTotals."""
    sums, latency = totals.sums, totals.latencies
    return {
        **{name: sums[name] for name in _SAME},
        "outcomes": totals.outcomes,
        "cost_usd": format_usd(sums["cost_nano_usd"]),
        "latency_ms": None
        if latency is None
        else LatencyView(
            mean=round(sums["latency_ms_sum"] / sums["calls"], 3),
            p50=round(latency.p50_ms, 1),
            p90=round(latency.p90_ms, 1),
            p95=round(latency.p95_ms, 1),
            p99=round(latency.p99_ms, 1),
        ),
    }


_SAME = (
    "calls",
    "successes",
    "failures",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "unpriced_calls",
)


def _measured(totals: Totals, measure: Measure) -> int:
    sums = totals.sums
    return {
        Measure.COST: sums["cost_nano_usd"],
        Measure.CALLS: sums["calls"],
        Measure.TOKENS: sums["input_tokens"] + sums["output_tokens"],
        Measure.FAILURES: sums["failures"],
    }[measure]


def _change(now: Totals, before: Totals) -> ChangeView:
    def of(new: float, old: float) -> float | None:
        return round((new - old) / abs(old), 4) if old else None

    moved = {measure: of(_measured(now, measure), _measured(before, measure)) for measure in Measure}
    latency = (
        of(now.latencies.p95_ms, before.latencies.p95_ms) if now.latencies and before.latencies else None
    )
    return ChangeView(
        calls=moved[Measure.CALLS],
        tokens=moved[Measure.TOKENS],
        cost=moved[Measure.COST],
        failures=moved[Measure.FAILURES],
        p95_latency=latency,
    )
