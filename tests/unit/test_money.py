"""Money at the edge: decimal strings to integers and back."""

from __future__ import annotations

import pytest

from events.envelope import MAX_LONG
from events.money import format_usd, parse_usd


@pytest.mark.parametrize(
    "text, nano_usd",
    [
        ("0", 0),
        ("12.50", 12_500_000_000),
        ("0.000000001", 1),
        ("-3", -3_000_000_000),
        ("-0.1", -100_000_000),
        ("0.1000000000", 100_000_000),
        ("007", 7_000_000_000),
        ("9223372036.854775807", MAX_LONG),
    ],
)
def test_a_decimal_string_is_read_exactly(text: str, nano_usd: int) -> None:
    """Every digit down to the nano-USD counts; zeros beyond it say nothing."""
    assert parse_usd(text) == nano_usd


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "decimal string"),
        ("1e3", "decimal string"),
        ("+1", "decimal string"),
        ("1,000", "decimal string"),
        (" 1", "decimal string"),
        ("1\n", "decimal string"),
        (".5", "decimal string"),
        ("5.", "decimal string"),
        ("NaN", "decimal string"),
        ("١٢", "decimal string"),
        ("9" * 1000, "decimal string"),
        ("0.0000000001", "9 digits"),
        ("9223372036.854775808", "at most 9223372036.854775807"),
    ],
)
def test_what_is_not_exact_money_is_refused_with_a_reason(text: str, complaint: str) -> None:
    """Nothing is guessed or rounded; the message says what would be right."""
    with pytest.raises(ValueError, match=complaint):
        parse_usd(text)


@pytest.mark.parametrize(
    "nano_usd, text",
    [(0, "0"), (1, "0.000000001"), (12_500_000_000, "12.5"), (-100_000_000, "-0.1"), (7_000_000_000, "7")],
)
def test_an_amount_is_written_as_its_shortest_decimal(nano_usd: int, text: str) -> None:
    """No exponent and no trailing zeros, so one amount has one spelling."""
    assert format_usd(nano_usd) == text
