"""Retry-After in all the spellings that providers use."""

from __future__ import annotations

import pytest

from events.retry_after import RETRY_AFTER_CAP_MS, retry_after_ms

NOW_US = 784_111_767_000_000  # Sun, 06 Nov 1994 08:49:27 GMT


@pytest.mark.parametrize(
    "headers,expected",
    [
        ({"Retry-After": "7"}, 7_000),
        ({"retry-after": " 7 "}, 7_000),
        ({"RETRY-AFTER": "0.25"}, 250),
        ({"Retry-After": "1.0001"}, 1_001),
        ({"Retry-After": "0"}, 0),
        ({"retry-after-ms": "1500"}, 1_500),
        ({"retry-after-ms": "1500.5"}, 1_501),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 250),
        ({"retry-after-ms": "soon", "Retry-After": "1"}, 1_000),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 10_000),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT"}, 10_000),
        ({"Retry-After": "Sun Nov  6 08:49:37 1994"}, 10_000),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:17 GMT"}, 0),
    ],
)
def test_what_providers_send_is_understood(headers: dict[str, str], expected: int) -> None:
    """Seconds, fractions, milliseconds and the three forms of an HTTP date."""
    assert retry_after_ms(headers, NOW_US) == expected


@pytest.mark.parametrize("text", ["301", "1e3", "86400", "Sun, 06 Nov 1994 09:49:37 GMT", "9" * 18])
def test_a_long_wait_is_capped(text: str) -> None:
    """At five minutes; what is no plain number is not taken for one."""
    expected = None if "e" in text and "Nov" not in text else RETRY_AFTER_CAP_MS
    assert retry_after_ms({"Retry-After": text}, NOW_US) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "soon", "1,5", "²", "9" * 5000, "Sun, 99 Nov 1994 08:49:37 GMT"]
)
def test_what_cannot_be_read_asks_for_nothing(text: str) -> None:
    """No wait is made up."""
    assert retry_after_ms({"Retry-After": text}, NOW_US) is None
    assert retry_after_ms({"retry-after-ms": text}, NOW_US) is None
    assert retry_after_ms({}, NOW_US) is None
