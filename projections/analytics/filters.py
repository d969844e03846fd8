"""Filters: comparisons of what documents say of themselves, as Chroma takes them and as they are checked here. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

from projections.analytics.chroma import Metadata, Scalar, Where
from projections.analytics.documents import COST, PERFORMANCE, ROUTING, STATES, USAGE

_ALWAYS: Mapping[str, type] = {
    "aspect": str,
    "window_us": int,
    "window_s": int,
    "tenant": str,
    "user": str,
    "provider": str,
    "model": str,
}
FIELDS: Mapping[str, Mapping[str, type]] = {
    USAGE: {
        **_ALWAYS,
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
    COST: {
        **_ALWAYS,
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
    PERFORMANCE: {
        **_ALWAYS,
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
    ROUTING: {
        **_ALWAYS,
        "decisions": int,
        "unroutable": int,
        "retries": int,
        "passed_over": int,
        "strategy": str,
    },
    STATES: {
        **_ALWAYS,
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


_COMPARE: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
}


class BadConditionError(ValueError):
    """A condition cannot be meant so; `index` is its place."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one field with a value."""

    field: str
    comparison: Comparison
    value: Scalar

    def holds(self, metadata: Metadata) -> bool:
        """Whether a document passes."""
        return _COMPARE[self.comparison](metadata[self.field], self.value)

    def where(self) -> Where:
        """As Chroma takes it."""
        return {self.field: {f"${self.comparison}": self.value}}


def equal(field: str, value: str | int | None) -> list[Condition]:
    """That a field has a value; no condition without one."""
    return [] if value is None else [Condition(field, Comparison.EQ, value)]


def started(from_us: int | None, to_us: int | None) -> list[Condition]:
    """That a window starts in [from_us, to_us), each bound as far as it is given."""
    bounds = ((Comparison.GTE, from_us), (Comparison.LT, to_us))
    return [Condition("window_us", comparison, at) for comparison, at in bounds if at is not None]


def all_of(conditions: Sequence[Condition]) -> Where:
    """The filter that lets through what every condition does; none lets everything through."""
    given = [condition.where() for condition in conditions]
    return {"$and": given} if len(given) > 1 else given[0] if given else {}


def checked(collection: str, conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions with values of their fields' types; BadConditionError for one that cannot be meant."""
    return [_checked(collection, index, one) for index, one in enumerate(conditions)]


def _checked(collection: str, index: int, condition: Condition) -> Condition:
    known = FIELDS[collection]
    kind, value = known.get(condition.field), condition.value
    if kind is None:
        raise BadConditionError(
            index, f"{collection} has no {condition.field}, but {', '.join(sorted(known))}"
        )
    if kind is str:
        if not isinstance(value, str) or condition.comparison not in (Comparison.EQ, Comparison.NE):
            raise BadConditionError(index, f"{condition.field} is a text: it is eq or ne to a text")
        return condition
    if isinstance(value, str | bool) or not isfinite(value) or abs(value) >= 2**63:
        raise BadConditionError(index, f"{condition.field} is a number of 64 bits, not {value!r}")
    if kind is int and value != int(value):
        raise BadConditionError(index, f"{condition.field} is a whole number, not {value!r}")
    return Condition(condition.field, condition.comparison, kind(value))
