"""Panic mode: when every deployment that could serve is open, the one nearest to its end gets one probe at a time.

Total refusal helps nobody while a provider may have recovered. What is forbidden for another reason than a tripped
breaker stays forbidden: overrides, credential gates and rate gates here, budgets by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable

from events.breaker_transitioned import BreakerState
from projections.live.breaker import Breaker, effective_state
from projections.live.gates import credential_gate_since_us, rate_gate_until_us

PANIC_CONCURRENT = 1
"""Probes under way at once in panic mode, over all callers: taken as a permit of the chosen breaker and its epoch."""


def panic_probe(breakers: Iterable[Breaker], now_us: int) -> Breaker | None:
    """The breaker whose deployment may be probed although it is open; None when there is no panic or nothing to probe.

    `breakers` are those of all deployments that the request could go to. The probe carries the breaker's own epoch, and
    as an outcome in OPEN it counts for statistics only: panic does not close a breaker before its time.
    """
    chosen: Breaker | None = None
    chosen_us = 0
    for breaker in breakers:
        if not _could_serve(breaker, now_us):
            continue
        if effective_state(breaker, now_us) is not BreakerState.OPEN:
            return None
        until_us = breaker.open_until_us or 0
        if chosen is None or (until_us, breaker.deployment) < (chosen_us, chosen.deployment):
            chosen, chosen_us = breaker, until_us
    return chosen


def _could_serve(breaker: Breaker, now_us: int) -> bool:
    return (
        effective_state(breaker, now_us) is not BreakerState.FORCED_OPEN
        and credential_gate_since_us(breaker) is None
        and now_us >= rate_gate_until_us(breaker)
    )
