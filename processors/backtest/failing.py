"""When the calls to a deployment were failing, as its users saw it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from events.envelope import FAILURES, OutcomeKind
from processors.backtest.timeline import Span

LASTS_US = 10_000_000


class Failing:
    """A deployment is failing from a failed call until its next success, at most 10 s after the last failure.

    Calls come in the log's order; one that comes late is taken as of the newest second seen.
    """

    def __init__(self) -> None:
        self._starts = array("q")
        self._ends = array("q")
        self._newest_us = 0

    def add(self, kind: OutcomeKind, at_us: int) -> None:
        """Calls of one outcome in the second that begins at an instant. What is nobody's failure changes nothing."""
        at_us = self._newest_us = max(at_us, self._newest_us)
        if kind in FAILURES:
            if not self._ends or self._ends[-1] < at_us:
                self._starts.append(at_us)
                self._ends.append(at_us)
            self._ends[-1] = at_us + LASTS_US
        elif kind is OutcomeKind.SUCCESS and self._ends and self._ends[-1] > at_us:
            self._ends[-1] = max(at_us, self._starts[-1])
            if self._ends[-1] == self._starts[-1]:
                self._starts.pop()
                self._ends.pop()

    def spans(self, end_us: int) -> Iterator[Span]:
        """The stretches, in order."""
        for start, end in zip(self._starts, self._ends, strict=True):
            if start < end_us:
                yield start, min(end, end_us)
