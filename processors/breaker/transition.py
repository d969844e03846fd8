"""A transition as an event: everything that a fold of it needs, computed once, when it is decided."""

from __future__ import annotations

from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import MAX_LONG
from events.ids import derived_id
from processors.breaker.machine import MODE_STATES, target
from processors.breaker.rules import explain, open_for_us, trips_now
from projections.live.breaker import Breaker
from projections.live.counting import Figures
from projections.live.override import StandingOverride
from projections.live.provider import PolicyInForce

SOURCE = "breaker-decider"

Point = tuple[int, int, int]
"""(outcomes offset, run index, calls of the run): what is applied before a transition."""


def point_of(event: BreakerTransitioned) -> Point:
    """Where a recorded transition belongs."""
    return event.outcomes_offset, event.run_index, event.run_calls


def transition(
    breaker: Breaker,
    seen: Figures,
    policy: PolicyInForce,
    cause: TransitionCause,
    *,
    point: Point,
    clock_us: int,
    causation_id: str | None,
    wanted: StandingOverride | None = None,
) -> BreakerTransitioned:
    """The next event of the breaker's stream; `wanted` is the override when one is set or cleared."""
    version = breaker.version + 1
    setting = wanted if cause is TransitionCause.OVERRIDE_SET else None
    to_state = MODE_STATES[setting.mode] if setting else target(breaker.state, cause)
    trips = trips_now(breaker, policy.policy, clock_us)
    if to_state is BreakerState.OPEN and cause is not TransitionCause.HALF_OPEN_TIMEOUT:
        trips += 1
    reason = f"{wanted.actor}: {wanted.reason}"[:1000] if wanted else explain(cause, seen, policy.policy)
    opens_us = open_for_us(policy.policy, trips, breaker.deployment, version)
    offset, run_index, run_calls = point
    return BreakerTransitioned(
        event_id=derived_id(f"breaker:{breaker.deployment}", version),
        occurred_at=clock_us,
        source=SOURCE,
        tenant="",
        causation_id=causation_id,
        provider=breaker.provider,
        model=breaker.model,
        region=breaker.region,
        version=version,
        from_state=breaker.state,
        to_state=to_state,
        cause=cause,
        reason=reason,
        epoch=version,
        trips=trips,
        open_until=clock_us + opens_us if to_state is BreakerState.OPEN else None,
        calls=min(seen.calls, MAX_LONG),
        failures=min(seen.failures, MAX_LONG),
        slow_calls=min(seen.slow_calls, MAX_LONG),
        consecutive_failures=min(seen.consecutive_failures, MAX_LONG),
        policy_version=policy.version,
        outcomes_offset=offset,
        run_index=run_index,
        run_calls=run_calls,
        override_actor=setting.actor if setting else None,
        override_reason=setting.reason if setting else None,
        override_until=setting.until_us if setting else None,
    )
