"""What a policy takes is the same in Postgres and in Python, whatever it says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from embedded.postgres import PostgresServer
from projections.retention.columns import check
from projections.retention.condition import Both, Compare, Condition, Either, IsNull, Not, OneOf, Value
from projections.retention.postgres import time_us
from projections.retention.selection import Selection, Span
from projections.retention.selection_sql import instant, where_of

TEXTS = ("", "a", "b", "B", "ä", "a'b", "a%b", "a_b", "a\\b", "漢", "z", "null")
NUMBERS = (-1, 0, 1, 2**53 + 1, 2**63 - 1)
GLOBS = ("*", "a*", "?", "a?b", "*b", "", "ä", "a%b", "a_*", "a\\b", "a*b")
COLUMNS: dict[str, Sequence[Value]] = {"error": TEXTS, "cost_nano_usd": NUMBERS, "attempt": NUMBERS}
SIGNS = ("=", "!=", "<", "<=", ">", ">=")


def drawn_condition(draw: random.Random, depth: int = 3) -> Condition:
    """Any condition on the columns of the test."""
    kind = draw.choice(
        ("compare", "compare", "in", "null", "not", "both", "either") if depth else ("compare",)
    )
    column = draw.choice(list(COLUMNS))
    match kind:
        case "compare":
            return Compare(column, draw.choice(SIGNS), draw.choice(COLUMNS[column]))
        case "in":
            return OneOf(column, tuple(draw.choices(COLUMNS[column], k=draw.randint(1, 3))))
        case "null":
            return IsNull(column)
        case "not":
            return Not(drawn_condition(draw, depth - 1))
        case "both":
            return Both(drawn_condition(draw, depth - 1), drawn_condition(draw, depth - 1))
    return Either(drawn_condition(draw, depth - 1), drawn_condition(draw, depth - 1))


def drawn_selection(draw: random.Random) -> Selection:
    """Any selection."""
    return Selection(
        tuple(draw.choices(GLOBS, k=draw.randint(1, 3))),
        tuple(draw.choices(GLOBS[1:], k=draw.randint(0, 2))),
        drawn_condition(draw) if draw.random() < 0.7 else None,
        draw.choice((None, 0, 500, 501, 10**15)),
        tuple((number, Span(draw.randint(0, 30), draw.randint(20, 100))) for number in (0, 1, 1)),
        draw.choice((None, None, 500, 501)),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_sql_takes_the_rows_that_the_predicate_takes(postgres: PostgresServer, seed: int) -> None:
    """Three-valued logic, code point order, patterns with what LIKE finds special, and every boundary of a span."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = [
        {
            "log_partition": number % 3,
            "log_offset": number,
            "occurred_at": draw.randint(495, 505),
            "appended_at": draw.randint(495, 505),
            "tenant": draw.choice(TEXTS),
            "error": draw.choice((None, *TEXTS)),
            "cost_nano_usd": draw.choice((None, *NUMBERS)),
            "attempt": draw.choice(NUMBERS),
        }
        for number in range(120)
    ]
    connection = await asyncpg.connect(postgres.address)
    try:
        await connection.execute(
            "CREATE TEMP TABLE drawn (log_partition int, log_offset bigint, occurred_at timestamptz, "
            "appended_at timestamptz, tenant text, error text, cost_nano_usd bigint, attempt bigint)"
        )
        times = ("occurred_at", "appended_at")
        records = [tuple((row | {name: instant(row[name]) for name in times}).values()) for row in rows]
        await connection.copy_records_to_table("drawn", records=records)
        for _ in range(150):
            selection = drawn_selection(draw)
            if selection.condition is not None:
                check(selection.condition, ("usage",))
            where = where_of(selection)
            found = await connection.fetch(
                f"SELECT log_offset FROM drawn WHERE {where.text}", *where.arguments
            )
            expected = [row["log_offset"] for row in rows if selection.takes(row)]
            assert sorted(row["log_offset"] for row in found) == expected, selection
    finally:
        await connection.close()


def test_an_instant_is_exact_to_the_microsecond() -> None:
    """There and back, at the end of the calendar too."""
    for time in (0, 1, 1_700_000_000_123_457, 253_402_300_799_999_999):
        assert time_us(instant(time)) == time
