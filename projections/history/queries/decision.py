"""Why a request went where it went: the decision, what stood so at that instant, and the calls that followed."""

from __future__ import annotations

from dataclasses import dataclass

from events.catalogue import TOPICS
from events.envelope import deployment_name
from events.routing_decided import RoutingDecided
from projections.history.queries.as_of import breakers_as_of, event_of, settings_as_of
from projections.history.queries.page import COLUMNS
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader, Row
from projections.history.queries.scope import Scope
from projections.live.breaker import Breaker
from projections.live.provider import ProviderSettings

MAX_ATTEMPTS = 20
MAX_CALLS = 100
_ROUTING = TOPICS["routing"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decision, and the breakers and settings of its candidates as of its instant; what had none is absent."""

    decision: RoutingDecided
    row: Row
    breakers: dict[str, Breaker]
    settings: dict[str, ProviderSettings]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A request's decisions and calls, each in the order of their times."""

    attempts: list[Attempt]
    calls: list[Row]


async def explain(history: HistoryReader, request_id: str, tenant: str | None) -> Explanation:
    """All that the history has of a request; empty when that is nothing."""
    decided = await _of_request(history, "routing", request_id, tenant, MAX_ATTEMPTS)
    calls = await _of_request(history, "usage", request_id, tenant, MAX_CALLS)
    return Explanation([await _attempt(history, row) for row in decided], calls)


async def _of_request(
    history: HistoryReader, topic: str, request_id: str, tenant: str | None, limit: int
) -> list[Row]:
    question = Question()
    question.equal({"request_id": request_id} | ({"tenant": tenant} if tenant is not None else {}))
    return await history.rows(
        f"select {listed(COLUMNS[topic])} from {topic} {question.where} "
        f"order by occurred_at, event_id limit {question.bind(limit)}",
        question.arguments,
    )


async def _attempt(history: HistoryReader, row: Row) -> Attempt:
    decision = event_of(_ROUTING, row)
    assert isinstance(decision, RoutingDecided)
    names = considered(decision)
    providers = sorted({name.partition("/")[0] for name in names})
    breakers = await breakers_as_of(history, decision.occurred_at, Scope(tuple(providers)))
    return Attempt(
        decision,
        row,
        {name: breakers[name] for name in names if name in breakers},
        await settings_as_of(history, decision.occurred_at, providers),
    )


def considered(decision: RoutingDecided) -> list[str]:
    """The deployments that the decision speaks of: the candidates, and the chosen one when it is not among them."""
    names = [candidate.deployment for candidate in decision.candidates]
    chosen = chosen_deployment(decision)
    return names if chosen is None or chosen in names else [*names, chosen]


def chosen_deployment(decision: RoutingDecided) -> str | None:
    """`provider/model[@region]`; None when nothing could be chosen."""
    if not decision.provider:
        return None
    return deployment_name(decision.provider, decision.model, decision.region)
