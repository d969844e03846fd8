"""Which deployment a gateway chooses, and what it says about the others."""

from __future__ import annotations

from collections.abc import Collection

from demo.fleet import ANTHROPIC, AZURE_FAST, OPENAI_FAST, PRIORITIES, Deployment
from demo.router import Proposal, Standing, assess, decided, proposals
from demo.traffic import Request
from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from events.routing_decided import RoutingDecided
from projections.live.breaker import Breaker

NOW_US = 1_699_450_200_000_000
SECOND_US = 1_000_000
REQUEST = Request(
    number=1,
    request_id="r1",
    at_us=NOW_US,
    tenant="acme",
    org="retail",
    team="search",
    user="u",
    api_key="k",
    tier="fast",
    input_tokens=10,
    output_tokens=5,
    gateway=0,
)


def closed(deployment: Deployment) -> Breaker:
    return Breaker(provider=deployment.provider, model=deployment.model)


def opened(deployment: Deployment, until_s: int) -> Breaker:
    return Breaker(
        provider=deployment.provider,
        model=deployment.model,
        version=1,
        epoch=1,
        state=BreakerState.OPEN,
        open_until_us=NOW_US + until_s * SECOND_US,
    )


def standing(deployment: Deployment, breaker: Breaker | None = None, *, enabled: bool = True) -> Standing:
    return Standing(deployment, breaker or closed(deployment), PRIORITIES[deployment.provider], enabled)


def proposed(standings: list[Standing], tried: Collection[str] = ()) -> list[tuple[str, int, int | None]]:
    return [
        (proposal.deployment.provider, proposal.epoch, proposal.permits)
        for proposal in proposals(assess(standings, tried, NOW_US), NOW_US)
    ]


def verdicts(standings: list[Standing], tried: Collection[str] = ()) -> dict[str, str]:
    return {a.standing.deployment.provider: a.verdict for a in assess(standings, tried, NOW_US)}


def test_the_first_priority_is_tried_first() -> None:
    """When nothing stands against them, deployments are proposed by priority, with no permit."""
    standings = [standing(AZURE_FAST), standing(OPENAI_FAST), standing(ANTHROPIC)]
    assert proposed(standings) == [("openai", 0, None), ("anthropic", 0, None), ("azure", 0, None)]


def test_an_open_breaker_is_passed_over() -> None:
    """A deployment whose breaker is open gets no call."""
    standings = [standing(OPENAI_FAST, opened(OPENAI_FAST, 5)), standing(ANTHROPIC)]
    assert proposed(standings) == [("anthropic", 0, None)]
    assert verdicts(standings)["openai"] == "breaker_open"


def test_a_lapsed_breaker_takes_a_permit_under_the_next_epoch() -> None:
    """When its time is over a breaker is half open for everyone at once: a probe needs a permit of the new epoch."""
    standings = [standing(OPENAI_FAST, opened(OPENAI_FAST, 0)), standing(ANTHROPIC)]
    assert proposed(standings) == [("openai", 2, 1), ("anthropic", 0, None)]


def test_gates_pass_a_deployment_over() -> None:
    """A rate gate that still holds and a refused credential each stand against a call."""
    limited = Breaker(
        provider="openai", model=OPENAI_FAST.model, rate_asks=((NOW_US - 1, NOW_US + 5 * SECOND_US),)
    )
    refused = Breaker(
        provider="anthropic",
        model=ANTHROPIC.model,
        refused_since_us=NOW_US - 1,
        refused_us=NOW_US - 1,
        refused_kind=OutcomeKind.UNAUTHORIZED,
    )
    standings = [standing(OPENAI_FAST, limited), standing(ANTHROPIC, refused), standing(AZURE_FAST)]
    assert proposed(standings) == [("azure", 0, None)]
    assert verdicts(standings) == {"openai": "rate_gate", "anthropic": "credential_gate", "azure": "eligible"}


def test_what_failed_for_this_request_is_not_tried_again() -> None:
    """A fallback goes to another deployment."""
    standings = [standing(OPENAI_FAST), standing(ANTHROPIC)]
    assert proposed(standings, tried={OPENAI_FAST.name}) == [("anthropic", 0, None)]


def test_a_disabled_provider_gets_nothing() -> None:
    """What operators switched off stays off."""
    assert proposed([standing(OPENAI_FAST, enabled=False)]) == []


def test_when_all_is_open_the_one_nearest_to_its_end_is_probed() -> None:
    """Panic mode: one probe at a time, under the breaker's own epoch."""
    standings = [standing(OPENAI_FAST, opened(OPENAI_FAST, 20)), standing(ANTHROPIC, opened(ANTHROPIC, 5))]
    assert proposed(standings) == [("anthropic", 1, 1)]


def test_panic_never_enables_what_is_disabled() -> None:
    """Neither a switched-off provider nor what failed for this request before is probed."""
    standings = [
        standing(OPENAI_FAST, opened(OPENAI_FAST, 5), enabled=False),
        standing(ANTHROPIC, opened(ANTHROPIC, 9)),
    ]
    assert proposed(standings) == [("anthropic", 1, 1)]
    assert proposed(standings, tried={ANTHROPIC.name}) == []


def decision(standings: list[Standing], chosen: Proposal | None, refused: Collection[str]) -> RoutingDecided:
    return decided(
        REQUEST,
        1,
        assess(standings, (), NOW_US),
        chosen,
        refused,
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        now_us=NOW_US,
        source="gateway-0",
        known_positions=("outcomes-1:42",),
        estimated_cost_nano_usd={ANTHROPIC.name: 99},
    )


def test_a_decision_says_why_each_candidate_was_or_was_not_chosen() -> None:
    """All candidates are in it, in order, with their states; what is eligible besides is the fallback chain."""
    standings = [standing(OPENAI_FAST, opened(OPENAI_FAST, 0)), standing(ANTHROPIC), standing(AZURE_FAST)]
    event = decision(standings, Proposal(ANTHROPIC, 0, None), {OPENAI_FAST.name})
    assert [(c.deployment, c.breaker_state, c.verdict) for c in event.candidates] == [
        (OPENAI_FAST.name, "HALF_OPEN", "no_permit"),
        (ANTHROPIC.name, "CLOSED", "chosen"),
        (AZURE_FAST.name, "CLOSED", "eligible"),
    ]
    assert event.fallback_chain == (AZURE_FAST.name,)
    assert (event.provider, event.model) == ("anthropic", "claude-2")
    assert event.known_positions == ("outcomes-1:42",)
    assert event.estimated_cost_nano_usd == 99


def test_a_decision_for_nobody_names_no_provider() -> None:
    """When nothing could be chosen, the event says so and why."""
    event = decision([standing(OPENAI_FAST, opened(OPENAI_FAST, 5))], None, ())
    assert (event.provider, event.model, event.fallback_chain) == ("", "", ())
    assert [c.verdict for c in event.candidates] == ["breaker_open"]
