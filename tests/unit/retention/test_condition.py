"""The language of conditions: what it reads, what it refuses, and what nulls do."""

from __future__ import annotations

import pytest

from projections.retention.columns import check
from projections.retention.condition import Compare, ConditionError, Row, holds, parse

ROW: Row = {"outcome": "SUCCESS", "cost_nano_usd": None, "attempt": 2, "user": "o'hara"}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("outcome = 'SUCCESS'", True),
        ("outcome != 'SUCCESS'", False),
        ("attempt >= 2 and attempt < 3", True),
        ("attempt = 1 or outcome in ('TIMEOUT', 'SUCCESS')", True),
        ("not outcome in ('TIMEOUT')", True),
        ("outcome not in ('SUCCESS')", False),
        ("user = 'o''hara'", True),
        ("cost_nano_usd is null", True),
        ("cost_nano_usd is not null", False),
        ("cost_nano_usd < 5", None),
        ("not cost_nano_usd < 5", None),
        ("cost_nano_usd < 5 or attempt = 2", True),
        ("cost_nano_usd < 5 and attempt = 1", False),
        ("(attempt = 1 or attempt = 2) and outcome = 'SUCCESS'", True),
    ],
)
def test_a_condition_is_judged_as_sql_does(text: str, expected: bool | None) -> None:
    """Comparisons, words that bind them, parentheses, and nulls that leave it open."""
    assert holds(parse(text), ROW) is expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "it ends where a column should be"),
        ("outcome", "it ends where one of ="),
        ("outcome = ", "it ends where a value"),
        ("outcome == 'x'", "'=' at character 10 should be a value"),
        ("outcome = 'x' outcome", "'outcome' at character 15 should be `and`, `or` or the end"),
        ("outcome = (select 1)", "should be a value"),
        ("exit(1)", "should be one of ="),
        ("outcome = 'x'; drop table usage", "nothing can be made of ';"),
        ("outcome = null", "write `is null`"),
        ('"outcome" = 1', "nothing can be made of"),
        ("(" * 40 + "attempt = 1" + ")" * 40, "nested at most"),
        ("a = 1 or " * 300, "at most 2000 characters"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, message: str) -> None:
    """Nothing but the language is read: no calls, no statements, no nulls as values."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("costs = 1", "usage has no column 'costs' to compare; there are source, tenant"),
        ("cost_nano_usd = '1'", "cost_nano_usd is compared with '1' and holds a whole number"),
        ("cost_nano_usd = 1.5", "holds a whole number"),
        ("cost_nano_usd = true", "holds a whole number"),
        ("cost_nano_usd < 9223372036854775808", "holds a whole number"),
        ("outcome in ('A', 1)", "holds a 'text'"),
        ("attributes = 'x'", "no column 'attributes'"),
        ("occurred_at = 1", "no column 'occurred_at'"),
    ],
)
def test_columns_are_compared_with_what_they_hold(text: str, message: str) -> None:
    """A column that is not there, or a value of another type, is refused before anything is asked of a store."""
    with pytest.raises(ConditionError) as caught:
        check(parse(text), ("usage",))
    assert message in str(caught.value)


def test_numbers_keep_their_kind() -> None:
    """Whole numbers stay whole: money is compared exactly."""
    assert parse("cost_nano_usd = 9007199254740993") == Compare("cost_nano_usd", "=", 9007199254740993)
    check(parse("latency_ms < 1 or latency_ms < 0.5"), ("health",))
