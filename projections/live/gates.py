"""Gates: what a provider's answers forbid besides its breaker. A gate is no breaker and moves none.

A 429 with a time to wait sets the rate gate: until max(current, asked), never later than `gate_cap_s` after the 429.
A refused credential (401, 403, billing) sets the credential gate, until a SUCCESS or a ProviderChanged after it.
"""

from __future__ import annotations

from dataclasses import replace

from events.envelope import CREDENTIAL_OUTCOMES, OutcomeKind
from events.outcomes_observed import OutcomeRun
from projections.live.breaker import Breaker

MAX_ASKS = 8


def fold_gates(breaker: Breaker, run: OutcomeRun, clock_us: int) -> Breaker:
    """The breaker with the gates as this run leaves them. `clock_us` is the fold's clock at the run's record."""
    kind = run.kind
    if kind is OutcomeKind.SUCCESS:
        if breaker.refused_us is None:
            return breaker
        return replace(breaker, refused_since_us=None, refused_us=None, refused_kind=None)
    if kind is OutcomeKind.RATE_LIMITED and run.gate_until is not None and run.gate_until > clock_us:
        return replace(breaker, rate_asks=_with_ask(breaker.rate_asks, clock_us, run.gate_until))
    if kind in CREDENTIAL_OUTCOMES:
        since_us = clock_us if breaker.refused_since_us is None else breaker.refused_since_us
        return replace(breaker, refused_since_us=since_us, refused_us=clock_us, refused_kind=kind)
    return breaker


def _with_ask(asks: tuple[tuple[int, int], ...], seen_us: int, until_us: int) -> tuple[tuple[int, int], ...]:
    """Keep the asks that may still decide under some cap: a later and longer one makes an older one void.

    The cap is applied when read, so that the fold does not depend on which policy was in force.
    """
    deciding = tuple(ask for ask in asks if ask[1] > until_us)
    return (*deciding, (seen_us, until_us))[-MAX_ASKS:]


def rate_gate_until_us(breaker: Breaker) -> int:
    """When the rate gate opens; 0 when none was set. It may lie in the past."""
    cap_us = breaker.gate_cap_s * 1_000_000
    return max((min(until_us, seen_us + cap_us) for seen_us, until_us in breaker.rate_asks), default=0)


def credential_gate_since_us(breaker: Breaker) -> int | None:
    """Since when the provider refuses the credential; None when the gate is open."""
    if breaker.refused_us is None or breaker.refused_us <= breaker.credentials_renewed_us:
        return None
    since_us = breaker.refused_since_us
    return (
        since_us if since_us is not None and since_us > breaker.credentials_renewed_us else breaker.refused_us
    )
