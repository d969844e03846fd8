"""Latencies as counts in buckets that grow by a twentieth: any two may be added, and a percentile is at most 5% too high.

The bounds are whole numbers, the same on every machine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

from events.usage_recorded import MAX_LATENCY_MS


def _bounds() -> tuple[int, ...]:
    bounds = [0, 1]
    while bounds[-1] < MAX_LATENCY_MS:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * 21 // 20))
    return tuple(bounds)


BOUNDS_MS = _bounds()
"""Upper bounds of the buckets, inclusive."""


def bucket_of(latency_ms: int) -> int:
    """Index of the bucket of a latency."""
    return min(bisect_left(BOUNDS_MS, latency_ms), len(BOUNDS_MS) - 1)


def percentile_ms(buckets: Mapping[int, int], share: float) -> int:
    """The latency that `share` of the calls stay within, as the upper bound of its bucket; 0 without calls."""
    if not buckets:
        return 0
    ordered = sorted(buckets.items())
    wanted = share * sum(buckets.values())
    reached = accumulate(count for _, count in ordered)
    return next(
        (BOUNDS_MS[bucket] for (bucket, _), below in zip(ordered, reached, strict=True) if below >= wanted),
        BOUNDS_MS[ordered[-1][0]],
    )
