"""Calls that the tried policy would have treated otherwise than they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from processors.backtest.deployment import CallCounts, DeploymentRun
from processors.backtest.timeline import Admission


@dataclass(slots=True)
class Changed:
    """Calls that were made, by what would have become of them.

    `refused`: the breaker would have been open. `limited`: it would have let probes through only. `released`: the breaker
    was open, or let probes through only, and would have let more through; these calls were under way, were probes or asked
    no breaker, and nobody knows of those that were refused. `unchanged`: all others.
    """

    refused: CallCounts = field(default_factory=CallCounts)
    limited: CallCounts = field(default_factory=CallCounts)
    released: CallCounts = field(default_factory=CallCounts)
    unchanged: CallCounts = field(default_factory=CallCounts)

    def named(self) -> Iterator[tuple[str, CallCounts]]:
        """Each with its name."""
        for name in ("refused", "limited", "released", "unchanged"):
            yield name, getattr(self, name)


def changed_calls(runs: Iterable[DeploymentRun]) -> Changed:
    """Of some deployments together."""
    found = Changed()
    for run in runs:
        for (recorded, tried), counts in run.calls.items():
            if tried == recorded:
                held = found.unchanged
            elif tried < recorded:
                held = found.released
            else:
                held = found.refused if tried is Admission.NONE else found.limited
            held.calls += counts.calls
            held.failed += counts.failed
    return found
