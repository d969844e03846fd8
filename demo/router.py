"""Choose a deployment by priority among those whose breaker, gates and permits admit a call. Pure.

`assess` says of every deployment what stands against it; `proposals` lists what may be tried, in order, and which of it
takes a probe permit first (the caller asks for it, that is I/O); `decided` is the fact to publish.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from demo.fleet import Deployment
from demo.traffic import Request
from events.breaker_transitioned import BreakerState
from events.routing_decided import Candidate, RoutingDecided
from projections.live.breaker import BLOCKING, Breaker, effective_epoch, effective_state
from projections.live.gates import credential_gate_since_us, rate_gate_until_us
from projections.live.panic import PANIC_CONCURRENT, panic_probe

STRATEGY = "priority"
NO_PERMIT = "no_permit"
CHOSEN = "chosen"
ELIGIBLE = "eligible"


@dataclass(frozen=True, slots=True)
class Standing:
    """A deployment as the live projection shows it: its breaker, its provider's priority and switch."""

    deployment: Deployment
    breaker: Breaker
    priority: int
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Assessment:
    """What stands against a deployment now; `verdict` is `eligible` when nothing does."""

    standing: Standing
    state: BreakerState
    epoch: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A deployment that may be tried. `permits` of it may be under way at once; None: any number, no permit needed."""

    deployment: Deployment
    epoch: int
    permits: int | None


def assess(standings: Sequence[Standing], tried: Collection[str], now_us: int) -> tuple[Assessment, ...]:
    """All deployments by priority, each with its verdict. `tried` failed for this request already."""
    ordered = sorted(standings, key=lambda standing: (standing.priority, standing.deployment.name))
    return tuple(
        Assessment(
            standing,
            state := effective_state(standing.breaker, now_us),
            effective_epoch(standing.breaker, now_us),
            _verdict(standing, state, tried, now_us),
        )
        for standing in ordered
    )


def _verdict(standing: Standing, state: BreakerState, tried: Collection[str], now_us: int) -> str:
    if not standing.enabled:
        return "disabled"
    if standing.deployment.name in tried:
        return "failed_before"
    if state in BLOCKING:
        return "breaker_" + state.lower()
    if credential_gate_since_us(standing.breaker) is not None:
        return "credential_gate"
    if rate_gate_until_us(standing.breaker) > now_us:
        return "rate_gate"
    return ELIGIBLE


def proposals(assessments: Sequence[Assessment], now_us: int) -> tuple[Proposal, ...]:
    """What may be tried, best first. When all is open, the one nearest to its end, for one probe at a time (panic)."""
    eligible = tuple(
        Proposal(
            assessed.standing.deployment,
            assessed.epoch,
            assessed.standing.breaker.half_open_concurrent
            if assessed.state is BreakerState.HALF_OPEN
            else None,
        )
        for assessed in assessments
        if assessed.verdict == ELIGIBLE
    )
    if eligible:
        return eligible
    left = {
        assessed.standing.breaker.deployment: assessed.standing
        for assessed in assessments
        if assessed.verdict not in ("disabled", "failed_before")
    }
    breaker = panic_probe((standing.breaker for standing in left.values()), now_us)
    if breaker is None:
        return ()
    return (Proposal(left[breaker.deployment].deployment, breaker.epoch, PANIC_CONCURRENT),)


def decided(
    request: Request,
    attempt: int,
    assessments: Sequence[Assessment],
    chosen: Proposal | None,
    refused: Collection[str],
    *,
    event_id: str,
    now_us: int,
    source: str,
    known_positions: tuple[str, ...],
    estimated_cost_nano_usd: Mapping[str, int | None],
) -> RoutingDecided:
    """The decision as a fact. `refused` had no probe permit left; the fallback chain is what is eligible besides."""
    name = chosen.deployment.name if chosen else None
    candidates = tuple(
        Candidate(
            deployment=assessed.standing.deployment.name,
            breaker_state=assessed.state,
            verdict=_final_verdict(assessed, name, refused),
        )
        for assessed in assessments
    )
    return RoutingDecided(
        event_id=event_id,
        occurred_at=now_us,
        source=source,
        tenant=request.tenant,
        correlation_id=request.request_id,
        request_id=request.request_id,
        provider=chosen.deployment.provider if chosen else "",
        model=chosen.deployment.model if chosen else "",
        strategy=STRATEGY,
        candidates=candidates,
        fallback_chain=tuple(c.deployment for c in candidates if c.verdict == ELIGIBLE),
        known_positions=known_positions,
        estimated_cost_nano_usd=estimated_cost_nano_usd.get(name) if name else None,
        attempt=attempt,
    )


def _final_verdict(assessed: Assessment, chosen: str | None, refused: Collection[str]) -> str:
    name = assessed.standing.deployment.name
    if name == chosen:
        return CHOSEN
    return NO_PERMIT if name in refused else assessed.verdict
