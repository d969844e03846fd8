"""Downtime as users see it: every deployment of a model was failing, or its breaker admitted no call. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.backtest.deployment import DeploymentRun, Side
from processors.backtest.timeline import Admission, Span, common, merged, total_us


@dataclass(frozen=True, slots=True)
class ModelDowntime:
    """When users of a model had nowhere to go. The deployments are those that were called in the time asked about."""

    model: str
    deployments: tuple[str, ...]
    recorded: tuple[Span, ...]
    tried: tuple[Span, ...]

    @property
    def recorded_us(self) -> int:
        """How long, as recorded."""
        return total_us(self.recorded)

    @property
    def tried_us(self) -> int:
        """How long, under the tried policy."""
        return total_us(self.tried)


def downtimes(runs: Iterable[DeploymentRun], end_us: int) -> list[ModelDowntime]:
    """Of each model, by name. A deployment counts from its first call on; one that was never called does not count."""
    by_model: dict[str, list[DeploymentRun]] = {}
    for run in runs:
        if run.first_us is not None:
            by_model.setdefault(run.recorded.breaker.model, []).append(run)
    return [
        ModelDowntime(
            model,
            tuple(sorted(run.recorded.breaker.deployment for run in held)),
            tuple(_nowhere(held, [run.recorded for run in held], end_us)),
            tuple(_nowhere(held, [run.decided for run in held], end_us)),
        )
        for model, held in sorted(by_model.items())
    ]


def _nowhere(runs: Sequence[DeploymentRun], sides: Sequence[Side], end_us: int) -> list[Span]:
    """What lies in the bad times of all deployments; before its first call one is no way out."""
    begin_us = min(run.first_us or 0 for run in runs)
    nowhere = [(begin_us, end_us)]
    for run, side in zip(runs, sides, strict=True):
        first_us = run.first_us or 0
        bad = merged(
            [
                (begin_us, first_us),
                *side.timeline.spans(Admission.NONE, first_us, end_us),
                *((max(start, first_us), end) for start, end in run.failing.spans(end_us)),
            ]
        )
        nowhere = common(nowhere, [span for span in bad if span[0] < span[1]])
    return nowhere
