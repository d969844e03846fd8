"""Usage split by dimensions: who spends most, and what the cost consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from projections.history.queries.question import Filters, Question
from projections.history.queries.reader import HistoryReader
from projections.history.queries.series import group_of
from projections.history.queries.span import Span
from projections.history.queries.usage import (
    NOTHING,
    Dimension,
    Group,
    Totals,
    finished,
    pieces_of,
    summed,
    sums_of,
)


class Measure(StrEnum):
    """What groups are ranked by."""

    COST = "cost"
    CALLS = "calls"
    TOKENS = "tokens"
    FAILURES = "failures"

    @property
    def sql(self) -> str:
        """Of the sums of a group."""
        return _SQL[self]


_SQL = {
    Measure.COST: "cost_nano_usd",
    Measure.CALLS: "calls",
    Measure.TOKENS: "input_tokens + output_tokens",
    Measure.FAILURES: "failures",
}


@dataclass(frozen=True, slots=True)
class Split:
    """The largest groups, the largest first, and the totals of all groups together."""

    groups: list[tuple[Group, Totals]]
    total: Totals
    count: int
    """How many groups there are in all."""


async def split(
    history: HistoryReader,
    span: Span,
    by: Sequence[Dimension],
    filters: Filters,
    *,
    measure: Measure,
    limit: int,
) -> Split:
    """Usage of the range, exactly, by the dimensions. Of equal groups the earlier in the alphabet comes first."""
    columns = [dimension.column for dimension in by]
    question = Question()
    sql = summed(question, pieces_of(span, [*columns, *filters]), columns, filters, None)
    order = ", ".join([f"{measure.sql} desc", *(f'"{column}"' for column in columns)])
    rows = await history.rows(
        f"select *, count(*) over () as groups from ({sql}) as split order by {order} "
        f"limit {question.bind(limit)}",
        question.arguments,
    )
    whole = Question()
    total = await history.rows(
        summed(whole, pieces_of(span, list(filters)), [], filters, None), whole.arguments
    )
    *found, of_all = finished(
        [*(sums_of(row, len(by)) for row in rows), sums_of(total[0], 0) if total else NOTHING]
    )
    groups = [(group_of(row, by), totals) for row, totals in zip(rows, found, strict=True)]
    return Split(groups, of_all, rows[0]["groups"] if rows else 0)
