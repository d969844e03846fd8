"""When a deployment admitted calls, probes or none: what its transitions come to, for whoever asks its breaker."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import pairwise

from events.breaker_transitioned import BreakerState, BreakerTransitioned

Span = tuple[int, int]
"""[start, end), microseconds since the epoch."""


class Admission(IntEnum):
    """What a breaker lets through."""

    ALL = 0
    PROBES = 1
    NONE = 2


_OF_STATE = {
    BreakerState.OPEN: Admission.NONE,
    BreakerState.FORCED_OPEN: Admission.NONE,
    BreakerState.HALF_OPEN: Admission.PROBES,
}


class Timeline:
    """Changes of admission in order of time. An open breaker admits probes from `open_until` on, before it is on the log."""

    def __init__(self) -> None:
        self._from_us = array("q", [0])
        self._admissions = bytearray([Admission.ALL])

    def add(self, event: BreakerTransitioned) -> None:
        """The next transition. What the ones before it had to come is void."""
        at_us = event.occurred_at
        while self._from_us[-1] >= at_us and len(self._from_us) > 1:
            self._from_us.pop()
            self._admissions.pop()
        self._change(at_us, _OF_STATE.get(event.to_state, Admission.ALL))
        if event.open_until is not None:
            self._change(event.open_until, Admission.PROBES)
        elif event.override_until is not None:
            self._change(event.override_until, Admission.ALL)

    def _change(self, at_us: int, admission: Admission) -> None:
        if self._admissions[-1] != admission:
            self._from_us.append(at_us)
            self._admissions.append(admission)

    def at(self, at_us: int) -> Admission:
        """What was admitted at an instant."""
        if at_us >= self._from_us[-1]:
            return Admission(self._admissions[-1])
        return Admission(self._admissions[max(0, bisect_right(self._from_us, at_us) - 1)])

    def spans(self, admission: Admission, start_us: int, end_us: int) -> Iterator[Span]:
        """The stretches of [start, end) with that admission."""
        for index, (since_us, until_us) in enumerate(pairwise([*self._from_us, end_us])):
            start, end = max(since_us, start_us), min(until_us, end_us)
            if self._admissions[index] == admission and start < end:
                yield start, end


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of spans in any order, as disjoint ones in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def total_us(spans: Iterable[Span]) -> int:
    """Length of all of them."""
    return sum(end - start for start, end in spans)


def common(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """What lies in both; each has to be disjoint and in order."""
    found: list[Span] = []
    left, right = list(one), list(other)
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found
