"""Times at the edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rfc3339 import format_time_us, parse_time_us


@pytest.mark.parametrize(
    "text, time_us",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-01T12:00:00Z", 1_772_366_400_000_000),
        ("2026-03-01t12:00:00z", 1_772_366_400_000_000),
        ("2026-03-01T13:30:00+01:30", 1_772_366_400_000_000),
        ("2026-03-01T12:00:00.000001Z", 1_772_366_400_000_001),
        ("2026-03-01T12:00:00.1234567Z", 1_772_366_400_123_456),
    ],
)
def test_an_rfc_3339_time_is_exact_to_the_microsecond(text: str, time_us: int) -> None:
    """Offsets are applied, finer digits are cut off."""
    assert parse_time_us(text) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-W09-7T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-03-01T12:00:60Z",
        "1772366400",
        "2026-03-01T12:00:00+25:00",
        "2026-03-01T12:00:00Z\n",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    """A form that Python would read and RFC 3339 does not have is refused too."""
    with pytest.raises(ValueError, match="time"):
        parse_time_us(text)


@given(st.integers(min_value=0, max_value=253_402_300_799_999_999))
def test_a_formatted_time_is_read_back_the_same(time_us: int) -> None:
    """Every instant of the event model survives the edge."""
    assert parse_time_us(format_time_us(time_us)) == time_us
