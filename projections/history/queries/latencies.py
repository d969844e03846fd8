"""Percentiles of many merged sketches at once. A merged sketch is sketches one after the other, as Postgres joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from projections.history.sketch import COUNT_BITS, LAST_BUCKET, MAX_COUNT, latency_of

SHARES = (0.5, 0.9, 0.95, 0.99)
_AT_ONCE = 500
"""Sketches that are spread out over their buckets at the same time: 4 MB."""

_LATENCY_MS = np.array([latency_of(bucket) for bucket in range(LAST_BUCKET + 1)])


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds that a half, 90, 95 and 99 percent of the calls did not exceed, within the sketch's error."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


def latencies(sketches: Sequence[bytes]) -> list[Latencies | None]:
    """Of each sketch; None of an empty one. The ranks are those of `sketch.percentiles`."""
    found: list[Latencies | None] = []
    for start in range(0, len(sketches), _AT_ONCE):
        found += _some(sketches[start : start + _AT_ONCE])
    return found


def _some(sketches: Sequence[bytes]) -> list[Latencies | None]:
    entries = np.frombuffer(b"".join(sketches), dtype=">u4").astype(np.uint32)
    width = (int(entries.max(initial=0)) >> COUNT_BITS) + 1
    places = np.repeat(np.arange(len(sketches)) * width, [len(sketch) // 4 for sketch in sketches])
    places += entries >> COUNT_BITS
    counts = np.bincount(places, weights=entries & MAX_COUNT, minlength=len(sketches) * width)
    below: npt.NDArray[np.float64] = np.cumsum(counts.reshape(len(sketches), width), axis=1)
    total = below[:, -1]
    columns = []
    for share in SHARES:
        rank = np.maximum(1, np.ceil(share * total))
        columns.append(_LATENCY_MS[(below < rank[:, None]).sum(axis=1).clip(max=width - 1)])
    return [
        Latencies(*map(float, of_one)) if calls else None
        for calls, *of_one in zip(total, *columns, strict=True)
    ]
