"""OutcomesObserved: the ordered outcomes of one deployment over a range of a source partition."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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


_CALL = struct.Struct("<II")


def packed_calls(calls: Iterable[tuple[int, int]]) -> bytes:
    """(offset less source_start, latency in ms) of each call, as `OutcomeRun.calls` has them."""
    return b"".join(_CALL.pack(*call) for call in calls)


def unpacked_calls(calls: bytes) -> Iterator[tuple[int, int]]:
    """The inverse of `packed_calls`. A rest that is no call is left out."""
    return _CALL.iter_unpack(calls[: len(calls) // _CALL.size * _CALL.size])


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRun:
    """Consecutive outcomes of the same kind, second and epoch. `latency_buckets` has LATENCY_BUCKETS counts.

    `calls` has the offset, less the event's source_start, and the latency in ms of each: see `packed_calls`.
    """

    kind: OutcomeKind
    count: Positive
    second: Count
    breaker_epoch: Count | None = None
    latency_ms_sum: Count = 0
    latency_buckets: Annotated[tuple[Count, ...], MaxLen(LATENCY_BUCKETS)] = ()
    gate_until: TimeUs | None = None
    last_error: ErrorText | None = None
    calls: bytes = b""

    def after(self, skipped: int) -> OutcomeRun | None:
        """The calls of a run whose offset, less source_start, is `skipped` or more, counted from there; None when none is.

        The gate and the error stay those of the whole run: they are of no call in particular.
        """
        left = [(offset - skipped, ms) for offset, ms in unpacked_calls(self.calls) if offset >= skipped]
        if not left:
            return None
        buckets = [0] * LATENCY_BUCKETS
        for _, latency_ms in left:
            buckets[latency_bucket(latency_ms)] += 1
        return replace(
            self,
            count=len(left),
            latency_ms_sum=sum(latency_ms for _, latency_ms in left),
            latency_buckets=tuple(buckets),
            calls=packed_calls(left),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesObserved(Event):
    """See schemas/outcomes_observed. The range is [source_start, source_end) of the source partition.

    `source_topic` is a short name; of outcomes that were carried from another log, that of a topic there (events/carried.py).
    """

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

    def after(self, offset: int) -> OutcomesObserved | None:
        """What it tells of the source's records from an offset on; None when that is nothing, or cannot be divided."""
        if offset <= self.source_start:
            return self
        if offset >= self.source_end or not all(run.calls for run in self.runs):
            return None
        parts = [run.after(offset - self.source_start) for run in self.runs]
        left = tuple(run for run in parts if run is not None)
        return replace(self, source_start=offset, runs=left) if left else None
