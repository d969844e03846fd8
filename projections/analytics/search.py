"""Search: documents like a text or like another document, among those that filters let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from projections.analytics.chroma import Found, Scalar, Vector
from projections.analytics.documents import COST, PERFORMANCE, ROUTING, STATES, USAGE
from projections.analytics.library import Library, all_of, before, equal, since

_ALWAYS = {
    "aspect": str,
    "window_us": int,
    "window_s": int,
    "tenant": str,
    "user": str,
    "provider": str,
    "model": str,
}
FIELDS: Mapping[str, Mapping[str, type]] = {
    USAGE: _ALWAYS
    | {
        "calls": int,
        "failures": int,
        "error_rate": float,
        "input_tokens": int,
        "output_tokens": int,
        "cached_share": float,
        "cost_nano_usd": int,
        "cost_per_call_nano_usd": int,
        "latency_p95_ms": int,
        "hour": int,
        "weekday": str,
    },
    COST: _ALWAYS
    | {
        "calls": int,
        "cost_nano_usd": int,
        "input_tokens": int,
        "output_tokens": int,
        "cached_input_tokens": int,
        "unpriced_calls": int,
        "retries": int,
        "retry_cost_nano_usd": int,
        "paid_failures": int,
        "potential_savings_nano_usd": int,
        "efficiency_score": float,
        "optimization_type": str,
    },
    PERFORMANCE: _ALWAYS
    | {
        "calls": int,
        "failures": int,
        "successes": int,
        "error_rate": float,
        "throughput_per_s": float,
        "latency_ms": int,
        "latency_p50_ms": int,
        "latency_p95_ms": int,
        "latency_p99_ms": int,
    },
    ROUTING: _ALWAYS
    | {"decisions": int, "unroutable": int, "retries": int, "passed_over": int, "strategy": str},
    STATES: _ALWAYS
    | {
        "calls": int,
        "failures": int,
        "failure_rate": float,
        "mean_ms": int,
        "transitions": int,
        "opened": int,
        "checks": int,
        "unhealthy_checks": int,
    },
}
"""What a document says of itself in each collection, and may be filtered by."""


class Comparison(StrEnum):
    """How a field is compared."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


class BadConditionError(ValueError):
    """A condition cannot be meant so; `index` is its place."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index


class NoSuchDocumentError(LookupError):
    """The example is not there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one field."""

    field: str
    comparison: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for: like a text, or like the document of that id; times bound the starts of windows."""

    collection: str
    text: str | None = None
    like: str | None = None
    tenant: str | None = None
    user: str | None = None
    provider: str | None = None
    model: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    conditions: Sequence[Condition] = ()
    limit: int = 10


async def search(library: Library, wanted: Wanted) -> list[Found]:
    """The nearest documents, nearest first; an example is not among its own."""
    where = all_of(
        *(equal(name, getattr(wanted, name)) for name in ("tenant", "user", "provider", "model")),
        since(wanted.from_us),
        before(wanted.to_us),
        *conditions(wanted),
    )
    async with library.bounded():
        vector = await _vector(library, wanted)
        more = 1 if wanted.like is not None else 0
        found = await library.nearest(wanted.collection, vector, where, wanted.limit + more)
    return [one for one in found if one.id != wanted.like][: wanted.limit]


def conditions(wanted: Wanted) -> list[Mapping[str, object]]:
    """The conditions as Chroma takes them; BadConditionError for one that cannot be meant."""
    made: list[Mapping[str, object]] = []
    known = FIELDS[wanted.collection]
    for index, condition in enumerate(wanted.conditions):
        kind = known.get(condition.field)
        if kind is None:
            raise BadConditionError(index, f"{wanted.collection} has {', '.join(sorted(known))}")
        value: Scalar = condition.value
        if kind is str:
            if not isinstance(value, str) or condition.comparison not in ("eq", "ne"):
                raise BadConditionError(index, f"{condition.field} is a text: it is eq or ne to a text")
        elif isinstance(value, str | bool):
            raise BadConditionError(index, f"{condition.field} is a number, not {value!r}")
        else:
            value = float(value) if kind is float else _whole(index, value)
        made.append({condition.field: {f"${condition.comparison}": value}})
    return made


def _whole(index: int, value: float) -> int:
    if value != int(value) or abs(value) >= 2**63:
        raise BadConditionError(index, f"must be a whole number of 64 bits, not {value!r}")
    return int(value)


async def _vector(library: Library, wanted: Wanted) -> Vector:
    if wanted.like is not None:
        found = await library.vector_of(wanted.collection, wanted.like)
        if found is None:
            raise NoSuchDocumentError(f"{wanted.collection} has no document {wanted.like}")
        return found
    return (await library.vectors()).of_text(wanted.text or "")
