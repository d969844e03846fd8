"""Which of many usage records certainly count, told from their columns: what their values may be, and when they happened.

The limits are read off the event's own annotations, so there is no second list of them. Who called is told by `Callers`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Interval, MaxLen, MinLen

from events.bounds import DAY_US
from events.header_names import are_utf8
from events.reader import LogRecord
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from projections.history.avro_columns import Columns, Numbers, Texts


@dataclass(slots=True)
class Limits:
    """What a number may be, or the length of a text: from `low` to `high`."""

    low: int = 0
    high: int = 2**63 - 1


class UsageLimits:
    """Made once for the fields that are not told otherwise. ValueError for one whose rule it does not know."""

    def __init__(self, log: LogSettings, names: Collection[str]) -> None:
        hints = get_type_hints(UsageRecorded, include_extras=True)
        self._limits = {name: found for name in names if (found := _limits(name, hints[name])) is not None}
        self._max_bytes = log.max_event_bytes
        self._max_ahead_us = log.max_event_ahead_s * 1_000_000
        self._max_age_us = log.max_event_age_days * DAY_US

    def mark(self, columns: Columns, records: Sequence[LogRecord]) -> None:
        """What is beyond a limit is odd from now on."""
        for name, limits in self._limits.items():
            field = columns.fields[name]
            held, absent = (
                (field.lengths, field.lengths < 0) if isinstance(field, Texts) else (field.values, field.null)
            )
            beyond = (held < limits.low) | (held > limits.high)
            if beyond.any():
                columns.odd |= beyond & ~absent
        times = columns.fields["occurred_at"]
        assert isinstance(times, Numbers), "occurred_at is a number in every schema"
        stamps_us = np.array([record.timestamp for record in records]) * 1000
        # A time that is none is beyond its limit already, so the difference of the others is far from overflowing.
        ahead_us = np.where(columns.odd, 0, times.values) - np.where(columns.odd, 0, stamps_us)
        columns.odd |= (ahead_us > self._max_ahead_us) | (-ahead_us > self._max_age_us)
        for at, record in enumerate(records):
            if len(record.value or b"") > self._max_bytes or (
                record.headers and not are_utf8(record.headers)
            ):
                columns.odd[at] = True


def _limits(name: str, hint: Any) -> Limits | None:
    """Of a field; None when any value of its type will do."""
    rules = list(_rules(hint))
    if not rules:
        return None
    limits = Limits()
    for rule in rules:
        match rule:
            case MinLen(low):
                limits.low = low
            case MaxLen(high):
                limits.high = high
            case Interval(ge=int() as low, le=int() as high):
                limits.low, limits.high = low, high
            case _:
                raise ValueError(f"{name} has a rule that is not told from columns: {rule!r}")
    return limits


def _rules(hint: Any) -> Iterable[Any]:
    """What is annotated, also of the one type beside None."""
    if metadata := getattr(hint, "__metadata__", None):
        yield from metadata
    elif get_origin(hint) is not None:
        for one in get_args(hint):
            yield from _rules(one)
