"""Sparse buckets of event time: sums that commute, kept for as long as a window may look back.

A bucket is a tuple: its index (time // width), then the sums. Buckets ascend by index; empty ones are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Buckets: TypeAlias = tuple[tuple[int, ...], ...]


def added(buckets: Buckets, sums: Mapping[int, Sequence[int]], oldest: int) -> Buckets:
    """With sums added by index; what lies before index `oldest` is dropped, whether it was there or came late."""
    by_index = {bucket[0]: bucket[1:] for bucket in buckets if bucket[0] >= oldest}
    for index, more in sums.items():
        if index >= oldest:
            known = by_index.get(index)
            by_index[index] = tuple(more) if known is None else tuple(map(int.__add__, known, more))
    return tuple((index, *by_index[index]) for index in sorted(by_index))


def summed(buckets: Buckets, indexes: range, width: int) -> tuple[int, ...]:
    """Sums over the buckets with these indexes; `width` says how many sums a bucket has."""
    found = [bucket[1:] for bucket in buckets if bucket[0] in indexes]
    return tuple(map(sum, zip(*found, strict=True))) if found else (0,) * width


def read_buckets(rows: Sequence[Sequence[int | str]]) -> Buckets:
    """Buckets as they were written by `canonical.encode`."""
    return tuple(tuple(map(int, row)) for row in rows)
