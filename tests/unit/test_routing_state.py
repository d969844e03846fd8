"""Routing: the fold of RoutingDecided."""

from __future__ import annotations

from events.routing_decided import Candidate, RoutingDecided
from projections.live.routing import MOST_NAMES, OTHERS, LastDecision, Routing


def decided(provider: str = "openai", model: str = "gpt-4o", strategy: str = "priority") -> RoutingDecided:
    return RoutingDecided(
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        occurred_at=7,
        source="test",
        tenant="acme",
        request_id="r1",
        provider=provider,
        model=model,
        region="eu" if provider else None,
        strategy=strategy,
        candidates=(
            Candidate(deployment="anthropic/claude", breaker_state="OPEN", verdict="breaker open"),
            Candidate(deployment="openai/gpt-4o@eu", breaker_state="CLOSED", verdict="chosen"),
        ),
    )


def test_decisions_are_counted_by_deployment_and_strategy() -> None:
    """A decision without a choice counts as unroutable."""
    routing = Routing("acme").plus(decided()).plus(decided()).plus(decided("", ""))
    assert (routing.decisions, routing.unroutable) == (3, 1)
    assert routing.by_deployment == {"openai/gpt-4o@eu": 2}
    assert routing.by_strategy == {"priority": 3}


def test_the_last_decision_says_what_was_passed_over_and_why() -> None:
    """The first thing that one asks after a strange choice."""
    assert Routing("acme").plus(decided()).last == LastDecision(
        "r1", 7, "openai/gpt-4o@eu", "priority", 1, (("anthropic/claude", "breaker open"),)
    )
    nothing = Routing("acme").plus(decided("", "")).last
    assert nothing is not None
    assert nothing.deployment is None


def test_names_are_bounded() -> None:
    """Names come from outside; beyond a thousand they count together."""
    routing = Routing("acme", by_deployment={f"p/{number}": 1 for number in range(MOST_NAMES)})
    more = routing.plus(decided()).plus(decided("p", "other"))
    assert more.by_deployment[OTHERS] == 2
    assert len(more.by_deployment) == MOST_NAMES + 1


def test_routing_is_the_same_after_a_round_trip() -> None:
    """Before any decision, too."""
    for routing in (Routing("acme"), Routing("acme").plus(decided()), Routing("acme").plus(decided("", ""))):
        assert Routing.from_json(routing.to_json()) == routing
