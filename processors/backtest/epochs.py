"""Under which epoch of a breaker that was decided otherwise a recorded call would have been admitted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from events.breaker_transitioned import BreakerTransitioned
from events.outcomes_observed import OutcomeRun, OutcomesObserved

KEPT = 32
"""Transitions that are looked back over: calls that were under way for longer are of an older epoch anyhow."""


def admitted_us(run: OutcomeRun, clock_us: int) -> int:
    """About when the calls of a run were admitted: the middle of their second, less what they took on average.

    Always before the fold's clock at their record, so before what is decided by it.
    """
    return min(run.second * 1_000_000 + 500_000 - run.latency_ms_sum * 1000 // run.count, clock_us - 1)


@dataclass(slots=True)
class Epochs:
    """The last transitions of one breaker: (from when, epoch, until when or None)."""

    _kept: deque[tuple[int, int, int | None]] = field(default_factory=lambda: deque([(0, 0, None)], KEPT))

    def add(self, event: BreakerTransitioned) -> None:
        """The next transition."""
        self._kept.append((event.occurred_at, event.epoch, event.open_until or event.override_until))

    def at(self, at_us: int) -> int:
        """The epoch that a call admitted at an instant carries, as `effective_epoch` has it."""
        for since_us, epoch, until_us in reversed(self._kept):
            if at_us >= since_us:
                return epoch + 1 if until_us is not None and at_us >= until_us else epoch
        return max(0, self._kept[0][1] - 1)

    def translated(self, observed: OutcomesObserved, clock_us: int) -> OutcomesObserved:
        """The outcomes as of calls that had asked this breaker. Calls that asked none still did not."""
        runs = tuple(
            run
            if run.breaker_epoch is None
            else replace(run, breaker_epoch=self.at(admitted_us(run, clock_us)))
            for run in observed.runs
        )
        return replace(observed, runs=runs)
