"""Why a request went where it went, as the API shows it."""

from __future__ import annotations

from pydantic import Field

from api.resources.breaker import BreakerView, breaker_view
from api.resources.history import CandidateView, RoutingEventView, UsageEventView, event_view
from api.resources.provider import ProviderView, provider_view
from api.resources.values import View
from projections.history.queries.decision import Attempt, Explanation, chosen_deployment, considered


class ConsideredView(CandidateView):
    """A deployment that was considered, and how its breaker stood at the instant of the decision."""

    breaker: BreakerView | None = Field(description="Null: no outcome of it was known by then.")


class AttemptView(View):
    """One decision: a request has another one for each further attempt."""

    decision: RoutingEventView
    chosen: str | None = Field(description="Deployment; null when nothing could be chosen.")
    considered: list[ConsideredView]
    providers: list[ProviderView] = Field(
        description="Settings of the candidates' providers as of that instant; one that nobody had set is absent."
    )


class DecisionView(View):
    """All decisions and calls of a request, by time."""

    request_id: str
    attempts: list[AttemptView]
    calls: list[UsageEventView] = Field(description="What followed, at most 100 calls.")


def decision_view(request_id: str, explanation: Explanation) -> DecisionView:
    """The view of an explanation."""
    return DecisionView(
        request_id=request_id,
        attempts=[_attempt(attempt) for attempt in explanation.attempts],
        calls=[event_view(UsageEventView, "usage", dict(row)) for row in explanation.calls],
    )


def _attempt(attempt: Attempt) -> AttemptView:
    decision = attempt.decision
    chosen = chosen_deployment(decision)
    told = {candidate.deployment: candidate for candidate in decision.candidates}

    def view(name: str) -> ConsideredView:
        breaker = attempt.breakers.get(name)
        candidate = told.get(name)
        return ConsideredView(
            deployment=name,
            breaker_state=candidate.breaker_state if candidate else "",
            verdict=candidate.verdict if candidate else "chosen",
            breaker=breaker_view(breaker, decision.occurred_at) if breaker is not None else None,
        )

    return AttemptView(
        decision=event_view(RoutingEventView, "routing", dict(attempt.row)),
        chosen=chosen,
        considered=[view(name) for name in considered(decision)],
        providers=[provider_view(settings, []) for _, settings in sorted(attempt.settings.items())],
    )
