"""Retry-After: how long a provider asks to wait, from the headers of its answer (RFC 9110, 10.2.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from decimal import ROUND_CEILING, Decimal
from email.utils import parsedate_to_datetime

RETRY_AFTER_CAP_MS = 300_000

_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)


def retry_after_ms(headers: Mapping[str, str], now_us: int) -> int | None:
    """Milliseconds to wait, at most RETRY_AFTER_CAP_MS; None when the headers do not say so or cannot be read.

    `retry-after-ms` goes before `Retry-After`, which is seconds, with a fraction too, or an HTTP date; one in the past
    is 0. Fractions of a millisecond are rounded up: never shorter than asked. Header names are case-insensitive.
    """
    named = {name.lower(): value.strip() for name, value in headers.items()}
    wait = _number(named.get("retry-after-ms", ""), 1)
    if wait is None:
        text = named.get("retry-after", "")
        wait = _number(text, 1000)
        if wait is None:
            wait = _until_date(text, now_us)
    return None if wait is None else min(wait, RETRY_AFTER_CAP_MS)


def _number(text: str, unit_ms: int) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    return int((Decimal(text) * unit_ms).to_integral_value(ROUND_CEILING))


def _until_date(text: str, now_us: int) -> int | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    until_ms = int(date.timestamp()) * 1000
    return max(0, until_ms - now_us // 1000)
