"""Whether a usage record is sound. The answer follows from the record alone: never from its batch, nor from its worker.

Full validation costs more than all the rest of the fold, so most records are told to be sound without it: their names
were validated before, and their other values lie plainly within what the model allows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from events.bounds import DAY_US, Bounds
from events.catalogue import TOPICS
from events.envelope import MAX_LONG, MAX_TIME_US
from events.header_names import are_utf8
from events.reader import LogRecord
from events.usage_recorded import MAX_LATENCY_MS
from projections.live.node import Identity

USAGE = TOPICS["usage"]
NAMES_KEPT = 100_000

Usage = dict[str, Any]
"""A usage record's plain values by the names of its schema."""

Names = tuple[Any, ...]

Deployment = tuple[str, str, str | None]
"""provider, model, region."""

_is_canonical_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who called what, validated once for all records that share it; `key` is the record key that goes with it.

    Two with the same values may exist, one after the other.
    """

    payer: Identity
    deployment: Deployment
    key: bytes


class Soundness:
    """The checks of one partition's usage. A bounded number of callers is remembered."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._callers: dict[Names, Caller] = {}
        self._occasions: set[Names] = set()
        self._max_age_us = bounds.settings.max_event_age_days * DAY_US
        self._max_ahead_us = bounds.settings.max_event_ahead_s * 1_000_000
        self._max_bytes = bounds.settings.max_event_bytes

    def check(self, usage: Usage, record: LogRecord) -> Caller:
        """The caller of a record. Refuse what the schema allows and the product does not.

        The event_id is left in its canonical spelling.
        """
        caller = self._callers.get(_caller(usage))
        if (
            caller is not None
            and _occasion(usage) in self._occasions
            and record.key == caller.key
            and _is_plainly_sound(usage)
            and -self._max_age_us <= usage["occurred_at"] - record.timestamp * 1000 <= self._max_ahead_us
            and record.value is not None
            and len(record.value) <= self._max_bytes
            and (not record.headers or are_utf8(record.headers))
        ):
            return caller
        return self._check_whole(usage, record)

    def _check_whole(self, usage: Usage, record: LogRecord) -> Caller:
        self._bounds.checked(USAGE, record, usage)
        return self._know(_caller(usage), _occasion(usage), record.key or b"")

    def _know(self, names: Names, occasion: Names, key: bytes) -> Caller:
        """Remember what was found valid. Callers share the strings that they have in common: so they stay in the cache."""
        for known in (self._callers, self._occasions):
            if len(known) >= NAMES_KEPT:
                known.clear()
        self._occasions.add(occasion)
        *payer, region = (sys.intern(name) if isinstance(name, str) else name for name in names)
        identity = Identity(*payer)
        caller = Caller(identity, (identity.provider, identity.model, region), key)
        return self._callers.setdefault((*identity, region), caller)


_caller: Callable[[Usage], Names] = itemgetter(*Identity._fields, "region")
_occasion: Callable[[Usage], Names] = itemgetter("source", "price_version", "attempt", "status_code")
"""These values most records share with many others, so they are validated once."""


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
