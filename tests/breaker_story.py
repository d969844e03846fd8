"""Tell what happens to one breaker: outcomes, passing time and overrides, with the log's offsets and clock kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.breaker_transitioned import BreakerState, BreakerTransitioned
from events.envelope import OutcomeKind
from events.ids import derived_id
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, OutcomesObserved, latency_bucket
from events.provider_changed import BreakerPolicy
from processors.breaker.decide import Decided, decide, due, override
from projections.live.breaker import Breaker, effective_state, initial
from projections.live.override import forced
from projections.live.provider import PolicyInForce
from projections.live.window import Window

SECOND_US = 1_000_000
START_S = 1_700_000_000
PROVIDER, MODEL = "openai", "gpt-4o"
DEPLOYMENT = f"{PROVIDER}/{MODEL}"

OK = OutcomeKind.SUCCESS
DOWN = OutcomeKind.SERVER_ERROR


def observed(
    offset: int, *runs: OutcomeRun, start: int | None = None, end: int | None = None
) -> OutcomesObserved:
    """An outcomes record of the story's deployment, the source range following from the offset unless given."""
    return OutcomesObserved(
        event_id=derived_id("story", offset),
        occurred_at=START_S * SECOND_US,
        source="story",
        tenant="",
        provider=PROVIDER,
        model=MODEL,
        source_topic="usage",
        source_partition=0,
        source_start=offset if start is None else start,
        source_end=offset + 1 if end is None else end,
        runs=runs,
    )


def overridden(
    mode: OverrideMode,
    *,
    actor: str = "ann",
    reason: str = "test",
    until_us: int | None = None,
    model: str | None = MODEL,
) -> BreakerOverridden:
    """An operator's override of the story's deployment, or of its provider when model is None."""
    return BreakerOverridden(
        event_id=derived_id("override", f"{mode}-{actor}-{reason}-{until_us}"),
        occurred_at=START_S * SECOND_US,
        source="story",
        tenant="",
        provider=PROVIDER,
        model=model,
        mode=mode,
        actor=actor,
        reason=reason,
        expires_at=until_us,
    )


@dataclass
class Story:
    """Given a policy; when outcomes, waits and overrides; then look at `breaker`, `window` and `events`."""

    policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    policy_version: int = 0
    clock_s: int = START_S
    offset: int = 0
    breaker: Breaker = field(default_factory=lambda: initial(PROVIDER, MODEL))
    window: Window = field(default_factory=Window)
    events: list[BreakerTransitioned] = field(default_factory=list)

    @property
    def in_force(self) -> PolicyInForce:
        """The policy as the decider is given it."""
        return PolicyInForce(self.policy, self.policy_version)

    @property
    def clock_us(self) -> int:
        """The fold's clock."""
        return self.clock_s * SECOND_US

    @property
    def state(self) -> BreakerState:
        """Effective state now."""
        return effective_state(self.breaker, self.clock_us)

    def run(
        self,
        count: int,
        kind: OutcomeKind = OK,
        *,
        epoch: int | None = None,
        ago_s: int = 0,
        latency_ms: int | None = None,
        gate_s: int | None = None,
    ) -> OutcomeRun:
        """Equal outcomes, now or some seconds ago, of one latency, asking to wait until some seconds from now."""
        buckets = [0] * LATENCY_BUCKETS
        if latency_ms is not None:
            buckets[latency_bucket(latency_ms)] = count
        return OutcomeRun(
            kind=kind,
            count=count,
            second=self.clock_s - ago_s,
            breaker_epoch=epoch,
            latency_ms_sum=count * (latency_ms or 0),
            latency_buckets=tuple(buckets) if latency_ms is not None else (),
            gate_until=None if gate_s is None else self.clock_us + gate_s * SECOND_US,
        )

    def outcomes(self, *runs: OutcomeRun) -> list[BreakerTransitioned]:
        """One outcomes record; what was decided."""
        record = observed(self.offset, *runs)
        decided = decide(
            self.breaker, self.window, self.in_force, record, offset=self.offset, clock_us=self.clock_us
        )
        self.offset += 1
        return self._take(decided)

    def calls(
        self, count: int, kind: OutcomeKind = OK, *, epoch: int | None = None, latency_ms: int | None = None
    ) -> list[BreakerTransitioned]:
        """One outcomes record of one run."""
        return self.outcomes(self.run(count, kind, epoch=epoch, latency_ms=latency_ms))

    def wait(self, seconds: float) -> None:
        """Time passes, unseen by the decider."""
        self.clock_s += int(seconds)

    def tick(self) -> list[BreakerTransitioned]:
        """The decider looks at the clock."""
        return self._take(
            due(self.breaker, self.window, self.in_force, offset=self.offset, clock_us=self.clock_us)
        )

    def override(
        self, mode: OverrideMode, *, actor: str = "ann", reason: str = "test", for_s: int | None = None
    ) -> list[BreakerTransitioned]:
        """An operator overrides the deployment, for some seconds or until it is cleared."""
        until_us = None if for_s is None else self.clock_us + for_s * SECOND_US
        wanted = forced(overridden(mode, actor=actor, reason=reason, until_us=until_us))
        return self._take(
            override(
                self.breaker, self.window, self.in_force, wanted, offset=self.offset, clock_us=self.clock_us
            )
        )

    def trip(self) -> BreakerTransitioned:
        """Enough failures to open it."""
        (event,) = self.calls(self.policy.consecutive_failures, DOWN, epoch=self.breaker.epoch)
        return event

    def half_open(self) -> BreakerTransitioned:
        """Open it and let the wait pass."""
        self.trip()
        return self.reach_half_open()

    def reach_half_open(self) -> BreakerTransitioned:
        """Let the wait pass."""
        assert self.breaker.open_until_us is not None
        self.clock_s = -(-self.breaker.open_until_us // SECOND_US)
        (event,) = self.tick()
        return event

    def with_policy(self, **changes: object) -> None:
        """The policy is changed."""
        self.policy = replace(self.policy, **changes)  # type: ignore[arg-type]
        self.policy_version += 1

    def _take(self, decided: Decided) -> list[BreakerTransitioned]:
        self.breaker, self.window = decided.breaker, decided.window
        self.events.extend(decided.events)
        return list(decided.events)
