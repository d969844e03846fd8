"""Windows: what the events of one subject come to in a stretch of event time. Pure.

A window is a sum of contributions, named whole numbers that are added. So its events may come in any order, in any
batches, and late: it is the same window. The names of the sums are those of `contributions`, with the kind of a count
after a colon (`outcome:TIMEOUT`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from events.breaker_transitioned import BreakerTransitioned
from events.envelope import FAILURES, Event, OutcomeKind
from events.ids import derived_id
from events.outcomes_observed import OutcomesObserved
from events.provider_health_checked import ProviderHealthChecked
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded
from projections.analytics.latency import bucket_of

US = 1_000_000


class Aspect(StrEnum):
    """What a window tells of; each is folded from one topic, so a window has one writer."""

    USAGE = "usage"
    ROUTING = "routing"
    CALLS = "calls"
    BREAKERS = "breakers"
    CHECKS = "checks"


ASPECT_OF_TOPIC: Mapping[str, Aspect] = {
    "usage": Aspect.USAGE,
    "routing": Aspect.ROUTING,
    "outcomes": Aspect.CALLS,
    "breakers": Aspect.BREAKERS,
    "health": Aspect.CHECKS,
}


class Key(NamedTuple):
    """Which window: `start_us` is its first microsecond. A name that does not apply is empty."""

    aspect: Aspect
    start_us: int
    length_s: int
    tenant: str = ""
    user: str = ""
    provider: str = ""
    model: str = ""

    @property
    def id(self) -> str:
        """Name of its documents: the same for the same window, for ever."""
        return derived_id("analytics", "\0".join(map(str, self)))

    @property
    def end_us(self) -> int:
        """The first microsecond after it."""
        return self.start_us + self.length_s * US


Sums = dict[str, int]


@dataclass(slots=True)
class Window:
    """A window as far as its partition was folded: what lies at offsets from `applied` on is not in it yet."""

    key: Key
    sums: Sums
    applied: int = 0

    def add(self, part: Mapping[str, int], offset: int) -> bool:
        """Add a contribution of the record at that offset; False when it is in the sums already."""
        if offset < self.applied:
            return False
        sums = self.sums
        for name, amount in part.items():
            sums[name] = sums.get(name, 0) + amount
        return True


def counted(sums: Mapping[str, int], prefix: str) -> dict[str, int]:
    """The counts by kind: `counted(sums, "outcome")` has SERVER_ERROR, TIMEOUT and so on.

    By name: the same sums make the same document, in whatever order their events came.
    """
    start = prefix + ":"
    return {name[len(start) :]: sums[name] for name in sorted(sums) if name.startswith(start)}


def latencies(sums: Mapping[str, int]) -> dict[int, int]:
    """Calls by latency bucket."""
    return {int(bucket): count for bucket, count in counted(sums, "latency").items()}


def add_up(parts: Iterable[Mapping[str, int]]) -> Sums:
    """The sum of several windows."""
    total: Sums = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the windows, seconds."""

    usage_s: int = 3_600
    state_s: int = 300


Part = tuple[Key, Mapping[str, int]]


def contributions(event: Event, lengths: Lengths) -> Iterator[Part]:
    """What an event adds to which windows."""
    match event:
        case UsageRecorded():
            yield _usage(event, lengths.usage_s)
        case RoutingDecided():
            yield _routing(event, lengths.usage_s)
        case OutcomesObserved():
            yield from _calls(event, lengths.state_s)
        case BreakerTransitioned():
            yield _breakers(event, lengths.state_s)
        case ProviderHealthChecked():
            yield _checks(event, lengths.state_s)
        case _:
            raise TypeError(f"{type(event).__name__} makes no window")


def window_start_us(at_us: int, length_s: int) -> int:
    """First microsecond of the window that an instant lies in."""
    return at_us - at_us % (length_s * US)


def _usage(event: UsageRecorded, length_s: int) -> Part:
    start_us = window_start_us(event.occurred_at, length_s)
    key = Key(Aspect.USAGE, start_us, length_s, event.tenant, event.user or "", event.provider, event.model)
    cost = event.cost_nano_usd
    part = {
        "calls": 1,
        f"outcome:{event.outcome}": 1,
        f"latency:{bucket_of(event.latency_ms)}": 1,
        "latency_ms": event.latency_ms,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cached_input_tokens": event.cached_input_tokens,
    }
    if cost is None:
        part["unpriced_calls"] = 1
    else:
        part["cost_nano_usd"] = cost
    if event.attempt > 1:
        part["retries"] = 1
        part["retry_cost_nano_usd"] = cost or 0
    if event.outcome != OutcomeKind.SUCCESS and cost:
        part["paid_failures"] = 1
        part["failure_cost_nano_usd"] = cost
    return key, part


def _routing(event: RoutingDecided, length_s: int) -> Part:
    start_us = window_start_us(event.occurred_at, length_s)
    key = Key(Aspect.ROUTING, start_us, length_s, event.tenant, "", event.provider, event.model)
    part = {
        "decisions": 1,
        f"strategy:{event.strategy}": 1,
        "candidates": len(event.candidates),
        "estimated_cost_nano_usd": event.estimated_cost_nano_usd or 0,
    }
    if event.attempt > 1:
        part["retries"] = 1
    if not event.provider:
        part["unroutable"] = 1
    for candidate in event.candidates:
        if candidate.verdict not in ("chosen", "eligible"):
            name = f"passed_over:{candidate.verdict}"
            part[name] = part.get(name, 0) + 1
    return key, part


def _calls(event: OutcomesObserved, length_s: int) -> Iterator[Part]:
    """One part per window: the runs carry their own seconds."""
    for run in event.runs:
        start_us = window_start_us(run.second * US, length_s)
        key = Key(Aspect.CALLS, start_us, length_s, provider=event.provider)
        failed = run.count if run.kind in FAILURES else 0
        part = {
            "calls": run.count,
            "failures": failed,
            f"outcome:{run.kind}": run.count,
            f"calls_of:{event.deployment}": run.count,
            f"failures_of:{event.deployment}": failed,
            "latency_ms": run.latency_ms_sum,
        }
        part |= {f"bucket:{index}": count for index, count in enumerate(run.latency_buckets) if count}
        yield key, part


def _breakers(event: BreakerTransitioned, length_s: int) -> Part:
    start_us = window_start_us(event.occurred_at, length_s)
    key = Key(Aspect.BREAKERS, start_us, length_s, provider=event.provider)
    part = {
        "transitions": 1,
        f"to:{event.to_state}": 1,
        f"cause:{event.cause}": 1,
        f"deployment:{event.deployment}": 1,
    }
    return key, part


def _checks(event: ProviderHealthChecked, length_s: int) -> Part:
    start_us = window_start_us(event.occurred_at, length_s)
    key = Key(Aspect.CHECKS, start_us, length_s, provider=event.provider)
    return key, {
        "checks": 1,
        f"status:{event.status}": 1,
        "latency_ms": round(event.latency_ms or 0),
    }
