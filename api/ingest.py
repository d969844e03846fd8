"""From CloudEvents to acknowledged positions: what `POST /v1/events` and `interlock events publish` share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.cloudevents import Received, TimeBounds, decode
from events.positions import Position
from events.publisher import Publisher
from events.settings import LogSettings

_DAY_US = 86_400_000_000
_MARGIN_US = 60_000_000
"""An event's record gets its timestamp when it is appended, a little after the event was checked here."""


def wall_clock_us() -> int:
    """Microseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Appended:
    """The events in the order they came, with the position of each."""

    events: list[Received]
    positions: list[Position]


def time_bounds(settings: LogSettings, now_us: int) -> TimeBounds:
    """The bounds that the folds apply to an event's time, so that the edge refuses what they would."""
    return TimeBounds(
        now_us, settings.max_event_age_days * _DAY_US - _MARGIN_US, settings.max_event_ahead_s * 1_000_000
    )


async def append(publisher: Publisher, received: list[Received]) -> Appended:
    """Append all in one call; see Publisher.append for what it raises."""
    records = [publisher.encode_record(one.topic, one.record, one.headers) for one in received]
    return Appended(received, await publisher.append_encoded(records))


def read_items(
    items: Sequence[Any], settings: LogSettings, now_us: int, *, single: bool, traceparent: str | None = None
) -> list[Received]:
    """The valid events of the items; InvalidBatchError lists all that is wrong with any."""
    return decode(items, time_bounds(settings, now_us), single=single, traceparent=traceparent)
