"""Documents: a window told for people, with metadata for filters and the figures and words that its vector is made of.

Pure. A usage window makes three documents in three collections, each with a retention of its own; one document carries
the window's sums, and is written last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log1p

from events.envelope import FAILURES, MAX_LONG, MAX_TIME_US
from projections.analytics.windows import US, Aspect, Key, Window

USAGE = "usage_patterns"
COST = "cost_optimization"
PERFORMANCE = "performance_metrics"
ROUTING = "routing_patterns"
STATES = "provider_states"
COLLECTIONS = (USAGE, COST, PERFORMANCE, ROUTING, STATES)

CARRIER: Mapping[Aspect, str] = {
    Aspect.USAGE: USAGE,
    Aspect.ROUTING: ROUTING,
    Aspect.CALLS: STATES,
    Aspect.BREAKERS: STATES,
    Aspect.CHECKS: STATES,
}
"""The collection whose document carries a window's sums."""

Fields = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Draft:
    """A document before its vector. `numbers` lie in 0..1, always at the same places of a collection's documents."""

    collection: str
    id: str
    text: str
    metadata: Fields
    numbers: tuple[float, ...]
    words: tuple[str, ...]


def read_window(metadata: Mapping[str, object]) -> Window:
    """The window that the document of a carrying collection was made of."""
    key = Key(
        Aspect(str(metadata["aspect"])),
        _int(metadata["window_us"]),
        _int(metadata["window_s"]),
        *(str(metadata[name]) for name in ("tenant", "user", "provider", "model")),
    )
    return Window(key, json.loads(str(metadata["sums"])), _int(metadata["applied"]))


def failures_of(sums: Mapping[str, int]) -> int:
    """Calls that failed by the provider's fault."""
    return sum(sums.get(f"outcome:{kind}", 0) for kind in FAILURES)


def carrier(
    window: Window, text: str, fields: Fields, numbers: tuple[float, ...], words: tuple[str, ...]
) -> Draft:
    """The document that a window is read back from: `sums` has its whole numbers exactly."""
    key = window.key
    kept: Fields = {
        "applied": window.applied,
        "sums": json.dumps(window.sums, sort_keys=True, separators=(",", ":")),
    }
    return Draft(CARRIER[key.aspect], key.id, text, {**common(key, fields), **kept}, numbers, words)


def common(key: Key, fields: Fields) -> Fields:
    """What every document says, and what it says besides: whole numbers as far as 64 bits hold them."""
    bounded = {
        name: max(-MAX_LONG, min(value, MAX_LONG)) if type(value) is int else value
        for name, value in fields.items()
    }
    return {
        "aspect": str(key.aspect),
        "window_us": key.start_us,
        "window_s": key.length_s,
        "tenant": key.tenant,
        "user": key.user,
        "provider": key.provider,
        "model": key.model,
        **bounded,
    }


def names(key: Key) -> list[str]:
    return [name for name in (key.tenant, key.user, key.provider, key.model) if name]


def share(part: int, whole: int) -> float:
    """Part of a whole, in 0..1; 0 of nothing."""
    return min(1.0, max(0.0, part / whole)) if whole else 0.0


def scaled(value: int, full: int) -> float:
    """Where a value that is not negative lies between 0 and `full`, by orders of magnitude; in 0..1."""
    return min(1.0, log1p(max(0, value)) / log1p(full))


def moment(key: Key) -> datetime:
    return datetime.fromtimestamp(key.start_us // US, UTC)


def when(key: Key) -> str:
    start, end = moment(key), datetime.fromtimestamp(min(key.end_us, MAX_TIME_US) // US, UTC)
    return f"on {start:%Y-%m-%d} from {start:%H:%M} to {end:%H:%M} UTC"


def who(key: Key) -> str:
    return f"{key.tenant}, user {key.user}," if key.user else f"{key.tenant}"


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
