"""Breaker: what a router must know of one deployment's circuit breaker. Key `breaker:<deployment>`.

Three folds live in it, each of one topic, so that a rebuild does not depend on how topics interleaved:

- the transitions (BreakerTransitioned), by `evolve`: `version` to `override_until_us`;
- the gates (OutcomesObserved), by `gates.fold_gates`: `rate_asks` to `refused_kind`;
- what a router needs of the provider's settings (ProviderChanged), by `adopt`: the last three.

It changes on a transition, a gate or a new setting only, so caches are seldom told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import OutcomeKind, deployment_name
from projections.errors import BrokenInvariantError
from projections.live.canonical import encode
from projections.live.provider import ProviderSettings

BLOCKING = frozenset({BreakerState.OPEN, BreakerState.FORCED_OPEN})
"""Effective states in which no call is admitted; HALF_OPEN admits probes, the others admit every call."""

_HALF_OPEN = BreakerState.HALF_OPEN
_CLOSED = BreakerState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """State of one breaker. Figures (`calls` to `consecutive_failures`) are those of the last transition.

    `open_until_us` is set in OPEN only, `override_until_us` in an override that ends by itself only. `rate_asks` are
    pairs (when a 429 was seen, until when it asked to wait), see gates.py.
    """

    provider: str
    model: str
    region: str | None = None

    version: int = 0
    state: BreakerState = BreakerState.CLOSED
    epoch: int = 0
    trips: int = 0
    since_us: int = 0
    open_until_us: int | None = None
    cause: TransitionCause | None = None
    reason: str = ""
    calls: int = 0
    failures: int = 0
    slow_calls: int = 0
    consecutive_failures: int = 0
    policy_version: int = 0
    override_actor: str | None = None
    override_reason: str | None = None
    override_until_us: int | None = None

    rate_asks: tuple[tuple[int, int], ...] = ()
    refused_since_us: int | None = None
    refused_us: int | None = None
    refused_kind: OutcomeKind | None = None

    gate_cap_s: int = 300
    half_open_concurrent: int = 1
    credentials_renewed_us: int = 0

    @property
    def deployment(self) -> str:
        """`provider/model[@region]`."""
        return deployment_name(self.provider, self.model, self.region)

    def to_json(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> Breaker:
        """The state that `to_json` wrote."""
        fields = orjson.loads(data)
        fields["state"] = BreakerState(fields["state"])
        fields["cause"] = TransitionCause(fields["cause"]) if fields["cause"] else None
        fields["refused_kind"] = OutcomeKind(fields["refused_kind"]) if fields["refused_kind"] else None
        fields["rate_asks"] = tuple((seen, until) for seen, until in fields["rate_asks"])
        return Breaker(**fields)


def initial(
    provider: str, model: str, region: str | None = None, *, settings: ProviderSettings | None = None
) -> Breaker:
    """The breaker of a deployment before its first transition."""
    breaker = Breaker(provider=provider, model=model, region=region)
    return adopt(breaker, settings) if settings else breaker


def evolve(breaker: Breaker, event: BreakerTransitioned) -> Breaker:
    """Apply a transition. One that was applied already changes nothing; a gap in the versions raises."""
    if event.version <= breaker.version:
        return breaker
    if event.version != breaker.version + 1 or event.deployment != breaker.deployment:
        raise BrokenInvariantError(
            f"breaker {breaker.deployment} is at version {breaker.version} and was given version {event.version} "
            f"of {event.deployment}: a transition between them is missing from the breakers topic"
        )
    return replace(
        breaker,
        version=event.version,
        state=event.to_state,
        epoch=event.epoch,
        trips=event.trips,
        since_us=event.occurred_at,
        open_until_us=event.open_until,
        cause=event.cause,
        reason=event.reason,
        calls=event.calls,
        failures=event.failures,
        slow_calls=event.slow_calls,
        consecutive_failures=event.consecutive_failures,
        policy_version=event.policy_version,
        override_actor=event.override_actor,
        override_reason=event.override_reason,
        override_until_us=event.override_until,
    )


def stands_after(breaker: Breaker, event: BreakerTransitioned) -> bool:
    """Whether the transition of the breaker's version is this one, and not another's of the same version."""
    return evolve(replace(breaker, version=event.version - 1), event) == breaker


def adopt(breaker: Breaker, settings: ProviderSettings) -> Breaker:
    """Take over what a router needs of the provider's settings; due for every known deployment on a ProviderChanged."""
    policy = settings.policy_for(breaker.deployment).policy
    return replace(
        breaker,
        gate_cap_s=policy.gate_cap_s,
        half_open_concurrent=policy.half_open_concurrent,
        credentials_renewed_us=max(breaker.credentials_renewed_us, settings.changed_us),
    )


def effective_state(breaker: Breaker, now_us: int) -> BreakerState:
    """The state at this instant, whether or not the decider has seen the time pass yet."""
    until_us = breaker.open_until_us
    if until_us is not None and now_us >= until_us:
        return _HALF_OPEN
    until_us = breaker.override_until_us
    if until_us is not None and now_us >= until_us:
        return _CLOSED
    return breaker.state


def effective_epoch(breaker: Breaker, now_us: int) -> int:
    """The epoch that a call admitted at this instant carries: every transition, a lazy one too, adds one."""
    lapsed = effective_state(breaker, now_us) is not breaker.state
    return breaker.epoch + 1 if lapsed else breaker.epoch
