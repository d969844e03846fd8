"""Rollups of one grain as columns: what many callers come to, without an object per sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from projections.history.avro_columns import Ints
from projections.history.rollups import SUM_COLUMNS, Grain, Key, Rollups, coarser
from projections.history.sketch import LAST_BUCKET

MAX_BIGINT = 2**63 - 1
BUCKETS = LAST_BUCKET + 1


@dataclass(slots=True)
class Sums:
    """A row of sums for each key, in the order of SUM_COLUMNS.

    Latencies are entries: in `rows` the number of a key, in `buckets` one of the sketch, in `counts` how many calls. No two
    entries have the same row and bucket.
    """

    keys: list[Key]
    sums: Ints
    rows: Ints
    buckets: Ints
    counts: Ints

    def coarser(self, grain: Grain) -> Sums:
        """The same, in longer buckets. No sum may be so large that it overflows."""
        length_us = grain.length_us
        numbers: dict[Key, int] = {}
        found = [
            numbers.setdefault((key[0] - key[0] % length_us, *key[1:]), len(numbers)) for key in self.keys
        ]
        if len(numbers) == len(self.keys):
            return Sums(list(numbers), self.sums, self.rows, self.buckets, self.counts)
        of_row = np.array(found, np.int64)
        sums = np.zeros((len(numbers), len(SUM_COLUMNS)), np.int64)
        np.add.at(sums, of_row, self.sums)
        entries, which = np.unique(of_row[self.rows] * BUCKETS + self.buckets, return_inverse=True)
        counts = np.zeros(len(entries), np.int64)
        np.add.at(counts, which, self.counts)
        return Sums(list(numbers), sums, entries // BUCKETS, entries % BUCKETS, counts)


def columns_of(rollups: Rollups) -> Sums:
    """Rollups as columns. A sum beyond 64 bits (9.2 billion dollars) stays at the end of their range."""
    entries = [
        (row, bucket, count)
        for row, one in enumerate(rollups.values())
        for bucket, count in one.latencies.items()
    ]
    sums = [bounded(one.sums) for one in rollups.values()]
    rows, buckets, counts = np.array(entries, np.int64).reshape(-1, 3).T
    return Sums(list(rollups), np.array(sums, np.int64).reshape(-1, len(SUM_COLUMNS)), rows, buckets, counts)


def bounded(sums: Sequence[int]) -> list[int]:
    """As they are stored."""
    if min(sums) >= -MAX_BIGINT and max(sums) <= MAX_BIGINT:
        return list(sums)
    return [max(-MAX_BIGINT, min(MAX_BIGINT, value)) for value in sums]


def every_grain(by_minute: Rollups) -> dict[Grain, Sums]:
    """Rollups by minute as columns, and the same by hour and day."""
    return {
        grain: columns_of(by_minute if grain is Grain.MINUTE else coarser(by_minute, grain))
        for grain in Grain
    }


def added(held: Ints, more: Ints) -> Ints:
    """Sums of 64 bits; one that they cannot hold stays at their end."""
    total = held + more
    over = ((held ^ total) & (more ^ total)) < 0
    if over.any():
        total[over] = np.where(held[over] > 0, MAX_BIGINT, -MAX_BIGINT)
    return total
