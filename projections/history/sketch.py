"""How long calls took, as a sketch: counts in buckets that grow by 4%, so that a percentile is off by at most 2%.

After DDSketch (Masson, Rim, Lee, VLDB 2019) with a fixed ratio, for whole milliseconds. Stored as big-endian 32-bit
entries, the bucket in the upper 10 bits, a count of 1 to 4,194,303 in the lower 22. A bucket may have several entries:
so to write one sketch after another is to merge them, and Postgres merges any number with `string_agg(sketch, '')`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping

RATIO = 1.04
RELATIVE_ERROR = (RATIO - 1) / (RATIO + 1)
"""Of a percentile, at most: 1.96%."""

LAST_BUCKET = 1023
COUNT_BITS = 22
MAX_COUNT = 2**COUNT_BITS - 1

_PER_BUCKET = 1 / math.log(RATIO)
_TABLE_MS = 16_384

Counts = dict[int, int]
"""Calls by bucket. Bucket 0 is 0 ms, bucket i > 0 is (RATIO^(i-2), RATIO^(i-1)] ms."""


def bucket_of(latency_ms: int) -> int:
    """The bucket of a latency; below 0 counts as 0."""
    return _TABLE[latency_ms] if 0 <= latency_ms < _TABLE_MS else _computed(latency_ms)


def _computed(latency_ms: int) -> int:
    if latency_ms <= 0:
        return 0
    return min(1 + math.ceil(math.log(latency_ms) * _PER_BUCKET), LAST_BUCKET)


_TABLE = tuple(_computed(latency_ms) for latency_ms in range(_TABLE_MS))


def latency_of(bucket: int) -> float:
    """The latency in milliseconds that stands for a bucket: as far from its lower end as from its upper, by ratio."""
    return 2 * RATIO ** (bucket - 1) / (RATIO + 1) if bucket else 0.0


def merge_into(held: Counts, more: Mapping[int, int]) -> None:
    """Add what another sketch counted."""
    for bucket, count in more.items():
        held[bucket] = held.get(bucket, 0) + count


def encode(counts: Mapping[int, int]) -> bytes:
    """The stored form, in as few entries as there can be, in no order; a count of 0 is none."""
    entries = [bucket << COUNT_BITS | count for bucket, count in counts.items() if 0 < count <= MAX_COUNT]
    if len(entries) < len(counts):
        entries = list(_split(counts))
    return struct.pack(f">{len(entries)}I", *entries)


def _split(counts: Mapping[int, int]) -> Iterable[int]:
    for bucket, count in counts.items():
        whole, rest = divmod(count, MAX_COUNT)
        yield from [bucket << COUNT_BITS | MAX_COUNT] * whole
        if rest:
            yield bucket << COUNT_BITS | rest


def decode(stored: bytes) -> Counts:
    """The counts of a stored sketch, or of several written one after the other. ValueError when it is cut short."""
    if len(stored) % 4:
        raise ValueError(f"a sketch has entries of 4 bytes, and this one has {len(stored)}")
    counts: Counts = {}
    for (entry,) in struct.iter_unpack(">I", stored):
        bucket = entry >> COUNT_BITS
        counts[bucket] = counts.get(bucket, 0) + (entry & MAX_COUNT)
    return counts


def percentiles(counts: Mapping[int, int], shares: Iterable[float]) -> list[float | None]:
    """Latencies in milliseconds that the shares (0 to 1) of all calls do not exceed; None of no calls.

    The call of rank ceil(share x calls), at least the first, within RELATIVE_ERROR.
    """
    total = sum(counts.values())
    if not total:
        return [None for _ in shares]
    ordered = sorted(counts.items())
    found: list[float | None] = []
    for share in shares:
        rank = max(1, math.ceil(share * total))
        below = 0
        for bucket, count in ordered:
            below += count
            if below >= rank:
                found.append(latency_of(bucket))
                break
    return found
