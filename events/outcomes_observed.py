"""OutcomesObserved: the ordered outcomes of one deployment over a range of a source partition."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MaxLen

from events.envelope import (
    Count,
    ErrorText,
    Event,
    Name,
    OptionalName,
    OutcomeKind,
    Positive,
    ProviderName,
    SmallCount,
    TimeUs,
    deployment_name,
)

LATENCY_BOUNDS_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000)
"""Upper bounds of the latency buckets, inclusive; one more bucket lies above."""

LATENCY_BUCKETS = len(LATENCY_BOUNDS_MS) + 1


def latency_bucket(latency_ms: int) -> int:
    """Index of the bucket that a latency falls into."""
    return bisect_left(LATENCY_BOUNDS_MS, latency_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRun:
    """Consecutive outcomes of the same kind, second and epoch. `latency_buckets` has LATENCY_BUCKETS counts."""

    kind: OutcomeKind
    count: Positive
    second: Count
    breaker_epoch: Count | None = None
    latency_ms_sum: Count = 0
    latency_buckets: Annotated[tuple[Count, ...], MaxLen(LATENCY_BUCKETS)] = ()
    gate_until: TimeUs | None = None
    last_error: ErrorText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesObserved(Event):
    """See schemas/outcomes_observed. The range is [source_start, source_end) of the source partition."""

    provider: ProviderName
    model: Name
    region: OptionalName | None = None
    source_topic: Name
    source_partition: SmallCount
    source_start: Count
    source_end: Count
    runs: tuple[OutcomeRun, ...]

    @property
    def deployment(self) -> str:
        """`provider/model[@region]`."""
        return deployment_name(self.provider, self.model, self.region)
