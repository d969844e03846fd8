"""ProviderChanged: a provider's settings, whole, as they are from now on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from annotated_types import Interval, MaxLen
from pydantic import AfterValidator

from events.envelope import (
    Attributes,
    Event,
    Name,
    Positive,
    ProviderName,
    Seconds,
    Share,
    SmallCount,
    SmallPositive,
)
from events.outcomes_observed import LATENCY_BOUNDS_MS


class WindowKind(StrEnum):
    """What a breaker's window counts over."""

    TIME = "TIME"
    COUNT = "COUNT"


class ProviderChange(StrEnum):
    """What happened to the provider."""

    SET = "SET"
    REMOVED = "REMOVED"


MAX_WINDOW_S = 300
MAX_WINDOW_CALLS = 1_000
"""A breaker's memory holds this much under every policy, so that it never depends on which one was in force."""

SLOW_BOUNDS_S = tuple(bound // 1000 for bound in LATENCY_BOUNDS_MS if bound % 1000 == 0)


def _slow_bound(value: int) -> int:
    """A slow call is told from latency buckets, so the limit has to be one of their bounds."""
    if value not in SLOW_BOUNDS_S:
        raise ValueError(f"must be one of the latency bounds {SLOW_BOUNDS_S}")
    return value


SlowCallS = Annotated[int, Interval(ge=SLOW_BOUNDS_S[0], le=SLOW_BOUNDS_S[-1]), AfterValidator(_slow_bound)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, for how long, and how it closes again; see schemas/provider_changed. Units come last."""

    window: WindowKind = WindowKind.TIME
    window_s: Annotated[int, Interval(ge=1, le=MAX_WINDOW_S)] = 60
    window_calls: Annotated[int, Interval(ge=1, le=MAX_WINDOW_CALLS)] = 100
    minimum_calls: SmallPositive = 10
    failure_rate: Share = 0.5
    consecutive_failures: SmallPositive = 5
    slow_call_s: SlowCallS = 60
    slow_rate: Share = 1.0
    open_for_s: Seconds = 30
    open_for_cap_s: Seconds = 300
    jitter: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.2
    half_open_permits: SmallPositive = 3
    half_open_concurrent: SmallPositive = 1
    half_open_max_wait_s: Seconds = 60
    gate_cap_s: Seconds = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChanged(Event):
    """See schemas/provider_changed. `version` is also the policy version of the provider's breakers."""

    provider: ProviderName
    change: ProviderChange = ProviderChange.SET
    version: Positive
    models: Annotated[tuple[Name, ...], MaxLen(1000)] = ()
    regions: Annotated[tuple[Name, ...], MaxLen(100)] = ()
    enabled: bool = True
    priority: SmallCount = 100
    breaker_policy: BreakerPolicy | None = None
    deployment_policies: Annotated[dict[Name, BreakerPolicy], MaxLen(1000)] = field(default_factory=dict)
    actor: Name
    attributes: Attributes = field(default_factory=dict)
