"""A circuit breaker as the API shows it, and the override that an operator puts on it."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval, MinLen
from pydantic import Field, model_validator

from api.resources.values import Body, Time, TimeOut, View, Whole
from api.rfc3339 import format_time_us, optional_time
from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import ErrorText, Name
from projections.live.breaker import BLOCKING, Breaker, effective_epoch, effective_state
from projections.live.counting import figures
from projections.live.gates import credential_gate_since_us, rate_gate_until_us
from projections.live.override import StandingOverride
from projections.live.provider import PolicyInForce
from projections.live.window import Window

Forced = Literal[OverrideMode.FORCED_OPEN, OverrideMode.DISABLED, OverrideMode.METRICS_ONLY]
"""What can be set; NONE, which clears, is a DELETE."""

_FORCED = frozenset({BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.METRICS_ONLY})


class Counts(View):
    """What the rules looked at."""

    calls: int = Field(description="Counted calls in the window.")
    failures: int = Field(description="Failures among them.")
    slow_calls: int = Field(description="Calls slower than the policy's slow_call_s.")
    consecutive_failures: int = Field(description="Failures in a row.")


class WindowView(Counts):
    """The window now, under the policy in force, and totals since ever."""

    total_calls: int
    total_failures: int
    stale_calls: int = Field(
        description="Calls admitted under an older epoch or while open: for statistics only."
    )
    stale_failures: int
    ignored_calls: int = Field(
        description="Calls that say nothing of the provider, for example 400 or a cancel."
    )


class Gates(View):
    """What forbids calls besides the breaker."""

    rate_limited_until: TimeOut | None = Field(
        None, description="The provider asked to wait until then (429)."
    )
    credential_refused_since: TimeOut | None = Field(
        None, description="Since then it refuses the credential."
    )
    credential_refused_as: str | None = Field(None, description="UNAUTHORIZED or BILLING.")


class OverrideView(View):
    """What an operator forced."""

    mode: OverrideMode
    actor: str
    reason: str
    expires_at: TimeOut | None = Field(None, description="When it ends by itself; null: until cleared.")


class BreakerView(View):
    """One breaker. `state` is the effective one at `at`; `recorded_state` is that of the last transition."""

    deployment: str = Field(examples=["openai/gpt-4o"])
    provider: str
    model: str
    region: str | None
    state: BreakerState
    recorded_state: BreakerState
    admits: bool = Field(
        description="Whether any call may pass: breaker and gates together. HALF_OPEN admits probes."
    )
    epoch: int = Field(description="Epoch that a call admitted now carries.")
    version: int = Field(description="Transitions so far.")
    cause: TransitionCause | None = Field(description="Rule that fired last.")
    reason: str = Field(description="That rule with its figures.")
    since: TimeOut | None = Field(description="When the last transition happened.")
    open_until: TimeOut | None = Field(description="When probing may begin; null unless OPEN.")
    trips: int = Field(description="Trips that the back-off counts.")
    policy_version: int = Field(
        description="Version of the policy that the last transition applied; 0: the defaults."
    )
    counts: Counts = Field(description="Figures at the last transition.")
    window: WindowView | None = Field(None, description="Figures now; only for a single breaker.")
    gates: Gates
    override: OverrideView | None
    at: TimeOut = Field(description="Instant that the effective state is for.")


class BreakerList(View):
    """Breakers in the order of their names."""

    breakers: list[BreakerView]


class OverrideBody(Body):
    """What to force, who does it, and why."""

    mode: Forced = Field(description="FORCED_OPEN admits nothing, DISABLED and METRICS_ONLY never block.")
    actor: Name = Field(examples=["ann@example.com"])
    reason: Annotated[ErrorText, MinLen(1)] = Field(examples=["provider announced maintenance"])
    expires_at: Time | None = Field(None, description="When it ends by itself.")
    expires_in_s: Annotated[Whole, Interval(ge=1, le=366 * 86_400)] | None = Field(
        None, description="The same, as seconds from now."
    )

    @model_validator(mode="after")
    def _sensible(self) -> OverrideBody:
        if self.expires_at is not None and self.expires_in_s is not None:
            raise ValueError("give expires_at or expires_in_s, not both")
        return self


def breaker_view(
    breaker: Breaker, now_us: int, window: Window | None = None, policy: PolicyInForce | None = None
) -> BreakerView:
    """The view of a breaker at an instant; with its window when that and its policy are given."""
    state = effective_state(breaker, now_us)
    gates = _gates(breaker, now_us)
    return BreakerView(
        deployment=breaker.deployment,
        provider=breaker.provider,
        model=breaker.model,
        region=breaker.region,
        state=state,
        recorded_state=breaker.state,
        admits=state not in BLOCKING
        and gates.rate_limited_until is None
        and gates.credential_refused_since is None,
        epoch=effective_epoch(breaker, now_us),
        version=breaker.version,
        cause=breaker.cause,
        reason=breaker.reason,
        since=format_time_us(breaker.since_us) if breaker.version else None,
        open_until=optional_time(breaker.open_until_us),
        trips=breaker.trips,
        policy_version=breaker.policy_version,
        counts=Counts(
            calls=breaker.calls,
            failures=breaker.failures,
            slow_calls=breaker.slow_calls,
            consecutive_failures=breaker.consecutive_failures,
        ),
        window=_window(window, policy) if window is not None and policy is not None else None,
        gates=gates,
        override=_override(breaker, state),
        at=format_time_us(now_us),
    )


def _gates(breaker: Breaker, now_us: int) -> Gates:
    until_us = rate_gate_until_us(breaker)
    since_us = credential_gate_since_us(breaker)
    return Gates(
        rate_limited_until=format_time_us(until_us) if until_us > now_us else None,
        credential_refused_since=optional_time(since_us),
        credential_refused_as=breaker.refused_kind if since_us is not None else None,
    )


def standing_view(standing: StandingOverride, now_us: int) -> OverrideView | None:
    """The view of an override of a whole provider; None when none is in force."""
    if not standing.in_force(now_us):
        return None
    return OverrideView(
        mode=standing.mode,
        actor=standing.actor,
        reason=standing.reason,
        expires_at=optional_time(standing.until_us),
    )


def _override(breaker: Breaker, state: BreakerState) -> OverrideView | None:
    if state not in _FORCED:
        return None
    return OverrideView(
        mode=OverrideMode(state.value),
        actor=breaker.override_actor or "",
        reason=breaker.override_reason or "",
        expires_at=optional_time(breaker.override_until_us),
    )


def _window(window: Window, policy: PolicyInForce) -> WindowView:
    now = figures(window, policy.policy)
    return WindowView(
        calls=now.calls,
        failures=now.failures,
        slow_calls=now.slow_calls,
        consecutive_failures=now.consecutive_failures,
        total_calls=window.total_calls,
        total_failures=window.total_failures,
        stale_calls=window.stale_calls,
        stale_failures=window.stale_failures,
        ignored_calls=window.ignored_calls,
    )
