"""How usage goes: a range beside the one before it, hour by hour, and by the hour of the day."""

from __future__ import annotations

from dataclasses import dataclass

from projections.history.queries.question import Filters
from projections.history.queries.reader import HistoryReader
from projections.history.queries.series import windows
from projections.history.queries.span import Span
from projections.history.queries.usage import NOTHING, Sums, Totals, finished, sums_of
from projections.history.rollups import Grain

HOURS = 24


@dataclass(frozen=True, slots=True)
class Trends:
    """`before` are the totals of the range of the same length before. Hours of the day are UTC."""

    total: Totals
    before: Totals
    hours: list[tuple[int, Totals]]
    """By the start of the hour; those with calls."""

    of_day: list[Totals]


async def trends(history: HistoryReader, span: Span, filters: Filters) -> Trends:
    """Of a range of full hours."""
    length_us = span.end_us - span.start_us
    doubled = Span(max(0, span.start_us - length_us), span.end_us)
    rows = [
        (row["bucket"], sums_of(row, 1)) for row in await windows(history, doubled, Grain.HOUR, [], filters)
    ]
    hours = [(at_us, sums) for at_us, sums in rows if at_us >= span.start_us]
    before = added([sums for at_us, sums in rows if at_us < span.start_us])
    of_day = [
        added([sums for at_us, sums in hours if at_us // Grain.HOUR.length_us % HOURS == hour])
        for hour in range(HOURS)
    ]
    total, total_before, *rest = finished(
        [added([sums for _, sums in hours]), before, *of_day, *(sums for _, sums in hours)]
    )
    return Trends(
        total,
        total_before,
        [(at_us, totals) for (at_us, _), totals in zip(hours, rest[HOURS:], strict=True)],
        rest[:HOURS],
    )


def added(all_sums: list[Sums]) -> Sums:
    """The sums of all."""
    return Sums(
        {name: sum(one.sums[name] for one in all_sums) for name in NOTHING.sums},
        b"".join(one.sketch for one in all_sums),
    )
