"""Rollup rows that are remembered: sums and counts of latencies in arrays, a place for each row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from projections.history.avro_columns import Ints
from projections.history.rollup_sums import BUCKETS, Sums, added
from projections.history.rollups import SUM_COLUMNS, Grain, Key
from projections.history.sketch import COUNT_BITS, MAX_COUNT, encode

_FIRST_ROOM = 256


def _no_sums() -> Ints:
    return np.zeros((_FIRST_ROOM, len(SUM_COLUMNS)), np.int64)


def _no_counts() -> Ints:
    return np.zeros((_FIRST_ROOM, BUCKETS), np.int64)  # the system gives pages when they are written


def _no_places() -> dict[Grain, dict[Key, int]]:
    return {grain: {} for grain in Grain}


@dataclass(slots=True)
class RollupMemory:
    """Rows by grain and key. A row keeps its place as long as the memory lives."""

    places: dict[Grain, dict[Key, int]] = field(default_factory=_no_places)
    used: int = 0
    _sums: Ints = field(default_factory=_no_sums)
    _counts: Ints = field(default_factory=_no_counts)
    _end: int = 1
    """One more than the highest bucket that has a count."""

    def new(self, grain: Grain, key: Key) -> int:
        """A place for a row that has none."""
        if self.used == len(self._sums):
            self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)))
            self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        place = self.places[grain][key] = self.used
        self.used += 1
        return place

    def take(self, other: RollupMemory, theirs: int, place: int) -> None:
        """Have in a place what another memory has in one of its own."""
        self._sums[place] = other._sums[theirs]
        self._counts[place] = other._counts[theirs]
        self._end = max(self._end, other._end)

    def add(self, at: Ints, more: Sums) -> None:
        """Count more, row by row at these places, all different."""
        self._sums[at] = added(self._sums[at], more.sums)
        self._counts[at[more.rows], more.buckets] += more.counts
        self._end = max(self._end, 1 + int(more.buckets.max(initial=0)))

    def sums(self, at: Ints) -> list[list[int]]:
        """The sums of rows, a list for each of SUM_COLUMNS."""
        return self._sums[at].T.tolist()  # type: ignore[no-any-return]

    def sketches(self, at: Ints) -> Sequence[bytes]:
        """The latencies of rows in their stored form."""
        counts = self._counts[at, : self._end]
        rows, buckets = np.nonzero(counts)
        told = counts[rows, buckets]
        if (told > MAX_COUNT).any():
            return [
                encode({bucket: count for bucket, count in enumerate(row) if count})
                for row in counts.tolist()
            ]
        stored = (buckets << COUNT_BITS | told).astype(">u4").tobytes()
        ends = (4 * np.cumsum(np.bincount(rows, minlength=len(at)))).tolist()
        return [stored[start:end] for start, end in zip([0, *ends], ends, strict=False)]
