"""Past states of a provider like the one now, as the API shows them."""

from __future__ import annotations

from pydantic import Field

from api.resources.values import TimeOut, View
from api.rfc3339 import format_time_us
from projections.analytics.incidents import Incident, State
from projections.analytics.questions import SimilarIncidents


class StateView(View):
    """A provider in one window."""

    provider: str
    start: TimeOut = Field(serialization_alias="from")
    calls: int
    failure_rate: float
    mean_ms: int
    outcomes: dict[str, int] = Field(description="Calls that were no success, by outcome.")
    failing: bool


class StepView(View):
    """A window after that."""

    after_s: int
    calls: int
    failure_rate: float
    opened_breakers: int
    unhealthy_checks: int


class IncidentView(View):
    """A past state like the one now, and what followed."""

    id: str
    likeness: float
    state: StateView
    recovered_after_s: int | None = Field(description="Null: not within the time looked at.")
    opened_breakers: int
    worst_failure_rate: float
    followed: list[StepView]


class SimilarIncidentsView(View):
    """A provider's newest state, and past ones like it."""

    state: StateView
    incidents: list[IncidentView] = Field(description="Most alike first, at least `follow_s` apart.")
    recovered: int = Field(description="How many of them got well in the time looked at.")
    median_recovery_s: float | None
    opened_breakers: int = Field(description="After how many of them a breaker opened.")
    complete: bool = Field(description="False: there were more failing windows than may be read.")


def similar_incidents_view(found: SimilarIncidents) -> SimilarIncidentsView:
    """The view of what the past says of now."""
    return SimilarIncidentsView(
        state=_state(found.state),
        incidents=[_incident(one) for one in found.incidents],
        recovered=found.outlook.recovered,
        median_recovery_s=found.outlook.median_recovery_s,
        opened_breakers=found.outlook.opened_breakers,
        complete=found.complete,
    )


def _state(state: State) -> StateView:
    return StateView(
        provider=state.provider,
        start=format_time_us(state.start_us),
        calls=state.calls,
        failure_rate=round(state.failure_rate, 6),
        mean_ms=state.mean_ms,
        outcomes=state.symptoms,
        failing=state.failing,
    )


def _incident(one: Incident) -> IncidentView:
    return IncidentView(
        id=one.id,
        likeness=round(one.likeness, 6),
        state=_state(one.state),
        recovered_after_s=one.recovered_after_s,
        opened_breakers=one.opened,
        worst_failure_rate=round(one.worst_failure_rate, 6),
        followed=[
            StepView(
                after_s=step.after_s,
                calls=step.calls,
                failure_rate=round(step.failure_rate, 6),
                opened_breakers=step.opened,
                unhealthy_checks=step.unhealthy_checks,
            )
            for step in one.steps
        ],
    )
