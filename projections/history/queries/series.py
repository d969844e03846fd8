"""Usage over time: sums in windows of a minute, an hour or a day, by any dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projections.errors import TooMuchAskedError
from projections.history.queries.question import Filters, Question
from projections.history.queries.reader import HistoryReader, Row
from projections.history.queries.span import Piece, Span
from projections.history.queries.usage import (
    ROLLED_UP,
    Dimension,
    Group,
    Totals,
    finished,
    summed,
    sums_of,
)
from projections.history.rollups import Grain

MAX_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Point:
    """One window of one group, by its start."""

    at_us: int
    group: Group
    totals: Totals


async def series(
    history: HistoryReader, span: Span, grain: Grain, by: Sequence[Dimension], filters: Filters
) -> list[Point]:
    """The windows that had calls, in the order of their times, then groups. The span holds whole windows."""
    rows = await windows(history, span, grain, [dimension.column for dimension in by], filters)
    groups = [group_of(row, by) for row in rows]
    totals = finished([sums_of(row, 1 + len(by)) for row in rows])
    return [Point(row["bucket"], group, one) for row, group, one in zip(rows, groups, totals, strict=True)]


async def windows(
    history: HistoryReader, span: Span, grain: Grain, columns: Sequence[str], filters: Filters
) -> list[Row]:
    """Rows of `summed`. TooMuchAskedError for more than MAX_POINTS."""
    rolled_up = ROLLED_UP.issuperset([*columns, *filters])
    question = Question()
    sql = summed(question, [Piece(grain if rolled_up else None, span)], columns, filters, grain)
    order = ", ".join(map(str, range(1, len(columns) + 2)))
    rows = await history.rows(f"{sql} order by {order} limit {MAX_POINTS + 1}", question.arguments)
    if len(rows) > MAX_POINTS:
        raise TooMuchAskedError(
            f"these are over {MAX_POINTS} points: ask for a shorter range or fewer groups"
        )
    return rows


def group_of(row: Row, by: Sequence[Dimension]) -> Group:
    """The group that a row is of."""
    return tuple(row[dimension.column] or None for dimension in by)
