"""Sums of usage: which table tells a part of a time range, and what is summed there.

The rollups tell it by tenant, provider, model, region and user. What they do not know (org, team, key, outcome) is
summed from the rows of the calls, and so are the edges of a range that are no full minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from events.envelope import FAILURES
from projections.history.queries.latencies import Latencies, latencies
from projections.history.queries.question import Filters, Question, quoted
from projections.history.queries.reader import Row
from projections.history.queries.span import Piece, Span, cover
from projections.history.rollups import KEY_COLUMNS, OTHER_OUTCOMES, SUM_COLUMNS, Grain
from projections.history.sketch import COUNT_BITS, LAST_BUCKET, RATIO


class Dimension(StrEnum):
    """What usage can be split by."""

    TENANT = "tenant"
    PROVIDER = "provider"
    MODEL = "model"
    REGION = "region"
    USER = "user"
    ORG = "org"
    TEAM = "team"
    KEY = "key"
    OUTCOME = "outcome"

    @property
    def column(self) -> str:
        """Its column in the table of calls; those that are rolled up have the same in the rollups."""
        return "api_key" if self is Dimension.KEY else self.value


ROLLED_UP = frozenset(KEY_COLUMNS[1:])
"""Columns that the rollups keep apart. There an absent region or user is an empty text."""

_COLUMN_OF_OUTCOME = (
    ("SUCCESS", "successes"),
    *((kind.value, kind.lower()) for kind in OTHER_OUTCOMES),
)
_MOST = 2**63 - 1
"""A sum that is larger stays there, as it does in the rollups."""

Group = tuple[str | None, ...]
"""Values of the dimensions that were asked for, in their order; None where a call had none."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls: `sums` by the names of SUM_COLUMNS. A call without a known price costs nothing in them."""

    sums: Mapping[str, int]
    latencies: Latencies | None

    @property
    def outcomes(self) -> dict[str, int]:
        """Calls by how they ended, of those ways that occurred."""
        sums = self.sums
        return {kind: sums[column] for kind, column in _COLUMN_OF_OUTCOME if sums[column]}


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals that are not finished: the sketch is still to be read."""

    sums: dict[str, int]
    sketch: bytes


NOTHING = Sums(dict.fromkeys(SUM_COLUMNS, 0), b"")


def sums_of(row: Row, keys: int) -> Sums:
    """What a row of a statement by `summed` says; so many keys come before the sums."""
    end = keys + len(SUM_COLUMNS)
    return Sums(dict(zip(SUM_COLUMNS, row[keys:end], strict=True)), row[end])


def finished(all_sums: Sequence[Sums]) -> list[Totals]:
    """Their totals, in their order; percentiles are read of all at once."""
    found = latencies([one.sketch for one in all_sums])
    return [Totals(one.sums, of_one) for one, of_one in zip(all_sums, found, strict=True)]


def pieces_of(span: Span, columns: Sequence[str]) -> list[Piece]:
    """What a range is summed from when these columns are to be told apart."""
    return cover(span) if ROLLED_UP.issuperset(columns) else [Piece(None, span)]


def summed(
    question: Question, pieces: Sequence[Piece], columns: Sequence[str], filters: Filters, grain: Grain | None
) -> str:
    """SQL that sums the pieces by the columns, and by `bucket` when a grain is given."""
    keys = [quoted(column) for column in columns]
    if grain is not None:
        keys = ["bucket", *keys]
    parts = " union all ".join(_part(question, piece, keys, filters, grain) for piece in pieces)
    told = ", ".join(
        [
            *keys,
            *(f"least(sum({name}), {_MOST})::bigint as {name}" for name in SUM_COLUMNS),
            "string_agg(latency_sketch, '') as latency_sketch",
        ]
    )
    by = f" group by {', '.join(keys)}" if keys else " having count(*) > 0"
    return f"select {told} from ({parts}) as part{by}"


def _part(
    question: Question, piece: Piece, keys: Sequence[str], filters: Filters, grain: Grain | None
) -> str:
    if piece.grain is not None:
        where = _where(question, "bucket", piece.span, filters)
        return f"select {', '.join([*keys, *SUM_COLUMNS])}, latency_sketch from {piece.grain.table} {where}"
    return " union all ".join(
        _of_rows(rows, keys, grain, _where(question, rows.time, piece.span, filters))
        for rows in (_CALLS, _ADJUSTMENTS)
    )


def _where(question: Question, time: str, span: Span, filters: Filters) -> str:
    own = Question(question.arguments)
    own.between(time, span.start_us, span.end_us)
    own.equal(filters)
    return own.where


def _of_rows(rows: _Rows, keys: Sequence[str], grain: Grain | None, where: str) -> str:
    told = [
        *(_of_row(key, rows, grain) for key in keys),
        *(f"{sql} as {name}" for name, sql in rows.sums.items()),
        f"{rows.sketch} as latency_sketch",
    ]
    return f"select {', '.join(told)} from {rows.table} {where}"


def _of_row(key: str, rows: _Rows, grain: Grain | None) -> str:
    if key == "bucket":
        assert grain is not None
        return f"date_trunc('{grain.name.lower()}', {rows.instant}, 'UTC') as bucket"
    return f"coalesce({key}, '') as {key}"


ROW_SUMS: Mapping[str, str] = {
    "calls": "1::bigint",
    "successes": "(outcome = 'SUCCESS')::int::bigint",
    "failures": f"(outcome in ({', '.join(repr(kind.value) for kind in sorted(FAILURES))}))::int::bigint",
    **{kind.lower(): f"(outcome = '{kind}')::int::bigint" for kind in OTHER_OUTCOMES},
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cached_input_tokens",
    "cost_nano_usd": "coalesce(cost_nano_usd, 0)",
    "unpriced_calls": "(cost_nano_usd is null)::int::bigint",
    "latency_ms_sum": "latency_ms",
}
ROW_BUCKET = (
    f"case when latency_ms <= 0 then 0 else least(1 + ceil(ln(latency_ms::float8) / ln({RATIO}::float8)), "
    f"{LAST_BUCKET}) end"
)
"""The bucket of a call's latency, as `sketch.bucket_of` has it."""

ROW_SKETCH = f"substring(int8send((({ROW_BUCKET})::bigint << {COUNT_BITS}) | 1) from 5)"
"""The sketch of one call: one entry of four bytes, the bucket above a count of one."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table whose rows are summed one by one: when the call happened as it is stored and as an instant, what it adds."""

    table: str
    time: str
    instant: str
    sums: Mapping[str, str]
    sketch: str


_CALLS = _Rows("usage", "occurred_at", "occurred_at", ROW_SUMS, ROW_SKETCH)
_ADJUSTMENTS = _Rows(
    "adjustments",
    "usage_occurred_at",
    "timestamptz 'epoch' + usage_occurred_at * interval '1 microsecond'",
    dict.fromkeys(SUM_COLUMNS, "0::bigint")
    | {
        "cost_nano_usd": "cost_after_nano_usd::numeric - coalesce(cost_before_nano_usd, 0)",
        "unpriced_calls": "-(cost_before_nano_usd is null)::int::bigint",
    },
    "''::bytea",
)
