"""BreakerTransitioned: a circuit breaker changed its state, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from events.envelope import (
    Count,
    ErrorText,
    Event,
    Name,
    OptionalName,
    Positive,
    ProviderName,
    SmallCount,
    TimeUs,
    deployment_name,
)


class BreakerState(StrEnum):
    """State of a circuit breaker; the last three are forced by an override."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"


class TransitionCause(StrEnum):
    """The rule that fired."""

    UNKNOWN = "UNKNOWN"
    FAILURE_RATE = "FAILURE_RATE"
    CONSECUTIVE_FAILURES = "CONSECUTIVE_FAILURES"
    SLOW_RATE = "SLOW_RATE"
    OPEN_ELAPSED = "OPEN_ELAPSED"
    PROBES_SUCCEEDED = "PROBES_SUCCEEDED"
    PROBE_FAILED = "PROBE_FAILED"
    HALF_OPEN_TIMEOUT = "HALF_OPEN_TIMEOUT"
    OVERRIDE_SET = "OVERRIDE_SET"
    OVERRIDE_CLEARED = "OVERRIDE_CLEARED"
    OVERRIDE_EXPIRED = "OVERRIDE_EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTransitioned(Event):
    """See schemas/breaker_transitioned.

    `version` numbers the breaker's stream from 1 without gaps. A replay applies it when, of the outcomes record at
    `outcomes_offset`, `run_calls` calls of the run at `run_index` (and all runs before it) are applied.
    """

    provider: ProviderName
    model: Name
    region: OptionalName | None = None
    version: Positive
    from_state: BreakerState
    to_state: BreakerState
    cause: TransitionCause
    reason: ErrorText
    epoch: Count
    trips: SmallCount
    open_until: TimeUs | None = None
    calls: Count = 0
    failures: Count = 0
    slow_calls: Count = 0
    consecutive_failures: Count = 0
    policy_version: Count = 0
    outcomes_offset: Count
    run_index: SmallCount = 0
    run_calls: Count = 0
    override_actor: OptionalName | None = None
    override_reason: ErrorText | None = None
    override_until: TimeUs | None = None

    @property
    def deployment(self) -> str:
        """`provider/model[@region]`."""
        return deployment_name(self.provider, self.model, self.region)
