"""Incidents: a provider's state now, past states like it, and what followed them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from projections.analytics.chroma import Found
from projections.analytics.documents import read_window, share
from projections.analytics.state_documents import FAILING, calls_figures
from projections.analytics.vectors import figures_half, likeness
from projections.analytics.windows import US, Aspect, Window, counted


@dataclass(frozen=True, slots=True)
class State:
    """One window of a provider's calls."""

    provider: str
    start_us: int
    calls: int
    failure_rate: float
    mean_ms: int
    symptoms: dict[str, int]

    @property
    def failing(self) -> bool:
        """Whether it is an incident at all."""
        return self.failure_rate >= FAILING


@dataclass(frozen=True, slots=True)
class Step:
    """One window after a state."""

    after_s: int
    calls: int
    failure_rate: float
    opened: int
    unhealthy_checks: int


@dataclass(frozen=True, slots=True)
class Incident:
    """A past state like the one now. `recovered_after_s` is None when it did not get well in the time looked at."""

    id: str
    likeness: float
    state: State
    steps: Sequence[Step]
    recovered_after_s: int | None
    opened: int
    worst_failure_rate: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the past says of now."""

    incidents: int
    recovered: int
    median_recovery_s: float | None
    opened_breakers: int


def state_of(found: Found) -> State:
    """The state that a document of calls tells of."""
    window = read_window(found.metadata)
    sums = window.sums
    symptoms = {name: n for name, n in counted(sums, "outcome").items() if name != "SUCCESS"}
    return State(
        window.key.provider,
        window.key.start_us,
        sums["calls"],
        share(sums.get("failures", 0), sums["calls"]),
        sums.get("latency_ms", 0) // sums["calls"],
        dict(sorted(symptoms.items())),
    )


def most_alike(now: Found, past: Iterable[Found]) -> list[Found]:
    """Past documents of calls, those first whose figures are most like those of now; names and words say nothing."""
    figures = _figures(now)
    told = (replace(one, distance=1.0 - likeness(figures, _figures(one))) for one in past)
    return sorted(told, key=lambda one: (one.distance, one.id))


def _figures(found: Found) -> list[float]:
    return figures_half(calls_figures(read_window(found.metadata).sums))


def apart(found: Iterable[Found], gap_us: int, limit: int) -> list[Found]:
    """The nearest of each stretch of time: neighbours of a window that is taken belong to the same incident."""
    taken: list[Found] = []
    for one in found:
        start, provider = int(one.metadata["window_us"]), one.metadata["provider"]
        if all(
            provider != other.metadata["provider"] or abs(start - int(other.metadata["window_us"])) >= gap_us
            for other in taken
        ):
            taken.append(one)
    return taken[:limit]


def incident(found: Found, after: Iterable[Found]) -> Incident:
    """A past state with what followed: `after` are the provider's documents from its window on, of all aspects."""
    state = state_of(found)
    steps = _steps(state.start_us, [read_window(one.metadata) for one in after])
    later = [step for step in steps if step.after_s > 0]
    well = (step.after_s for step in later if step.calls and step.failure_rate < FAILING)
    return Incident(
        found.id,
        1.0 - found.distance,
        state,
        steps,
        next(well, None) if state.failing else None,
        sum(step.opened for step in steps),
        max((step.failure_rate for step in steps), default=state.failure_rate),
    )


def outlook(incidents: Sequence[Incident]) -> Outlook:
    """The incidents taken together."""
    took = [one.recovered_after_s for one in incidents if one.recovered_after_s is not None]
    return Outlook(
        incidents=len(incidents),
        recovered=len(took),
        median_recovery_s=median(took) if took else None,
        opened_breakers=sum(1 for one in incidents if one.opened),
    )


def _steps(start_us: int, windows: Iterable[Window]) -> list[Step]:
    by_start: dict[int, dict[Aspect, Window]] = {}
    for window in windows:
        by_start.setdefault(window.key.start_us, {})[window.key.aspect] = window
    return [_step(at_us - start_us, aspects) for at_us, aspects in sorted(by_start.items())]


def _step(after_us: int, aspects: dict[Aspect, Window]) -> Step:
    def count(aspect: Aspect, *names: str) -> int:
        window = aspects.get(aspect)
        return 0 if window is None else sum(window.sums.get(name, 0) for name in names)

    calls = count(Aspect.CALLS, "calls")
    return Step(
        after_us // US,
        calls,
        share(count(Aspect.CALLS, "failures"), calls),
        count(Aspect.BREAKERS, "to:OPEN", "to:FORCED_OPEN"),
        count(Aspect.CHECKS, "status:UNHEALTHY", "status:DEGRADED"),
    )
