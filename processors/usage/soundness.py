"""Whether a usage record is sound. The answer follows from the record alone: never from its batch, nor from its worker.

Full validation costs more than all the rest of the fold, so most records are told to be sound without it: their names
were validated before, and their other values lie plainly within what the model allows.
"""

from __future__ import annotations

import re
from typing import Any

from events.catalogue import TOPICS
from events.codec import from_record
from events.envelope import MAX_LONG, MAX_TIME_US
from events.errors import InvalidEventError
from events.reader import LogRecord
from processors.bounds import Bounds

USAGE = TOPICS["usage"]
MAX_LATENCY_MS = 7 * 86_400_000

Usage = dict[str, Any]
"""A usage record's plain values by the names of its schema."""

_is_canonical_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def check(usage: Usage, record: LogRecord, bounds: Bounds) -> None:
    """Refuse what the schema allows and the product does not. The event_id is left in its canonical spelling."""
    bounds.check_size(record.value)
    names = _names(usage)
    if names not in bounds.known or not _is_plainly_sound(usage):
        event = from_record(USAGE, usage)
        if usage["latency_ms"] > MAX_LATENCY_MS:
            raise InvalidEventError("invalid_value", "latency_ms is over a week", field="latency_ms")
        usage["event_id"] = event.event_id
        bounds.know(names)
    bounds.check_key(record.key, usage["tenant"], "tenant")
    bounds.check_time(usage["occurred_at"], record.timestamp)


def _names(usage: Usage) -> tuple[object, ...]:
    """The values that most records share with many others."""
    return (
        usage["tenant"],
        usage["org"],
        usage["team"],
        usage["user"],
        usage["api_key"],
        usage["provider"],
        usage["model"],
        usage["region"],
        usage["source"],
        usage["price_version"],
        usage["attempt"],
        usage["status_code"],
    )


def _is_plainly_sound(usage: Usage) -> bool:
    """Whether all but the names is certainly valid. False says nothing."""
    return (
        _is_canonical_id(usage["event_id"]) is not None
        and 0 <= usage["occurred_at"] <= MAX_TIME_US
        and 0 < len(usage["request_id"]) <= 256
        and 0 <= usage["latency_ms"] <= MAX_LATENCY_MS
        and usage["input_tokens"] >= 0
        and usage["output_tokens"] >= 0
        and usage["cached_input_tokens"] >= 0
        and ((cost := usage["cost_nano_usd"]) is None or cost >= -MAX_LONG)
        and ((epoch := usage["breaker_epoch"]) is None or epoch >= 0)
        and ((first_ms := usage["first_token_ms"]) is None or first_ms >= 0)
        and ((retry_ms := usage["retry_after_ms"]) is None or retry_ms >= 0)
        and ((error := usage["error"]) is None or len(error) <= 1000)
        and ((correlation := usage["correlation_id"]) is None or len(correlation) <= 256)
        and ((causation := usage["causation_id"]) is None or len(causation) <= 256)
        and (not (attributes := usage["attributes"]) or _are_short(attributes))
    )


def _are_short(attributes: dict[str, str]) -> bool:
    return len(attributes) <= 32 and all(
        len(name) <= 64 and len(value) <= 1000 for name, value in attributes.items()
    )
