"""Times at the edge: RFC 3339 strings outside, microseconds since the epoch inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(\d+))?(?:[Zz]|[+-]\d\d:\d\d)")


def parse_time_us(text: str) -> int:
    """Microseconds of an RFC 3339 time; finer digits are cut off.

    Raises ValueError for anything else, also for a time without its offset from UTC.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 time with its offset, for example 2026-03-01T12:00:00.123456Z")
    try:
        # A leap second or 30 February has the right form and is no time.
        passed = datetime.fromisoformat(text.upper()) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no time: {error}") from None
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def format_time_us(time_us: int) -> str:
    """RFC 3339, UTC, in microseconds unless they are zero."""
    moment = _EPOCH + timedelta(microseconds=time_us)
    text = moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"


def optional_time(time_us: int | None) -> str | None:
    """The same for a time that may be absent."""
    return None if time_us is None else format_time_us(time_us)
