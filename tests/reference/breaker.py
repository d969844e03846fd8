"""A breaker in other words: every call is kept in a list, looked at one by one, and nothing is summed up ahead.

Written from docs/breakers.md alone; slow and plain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import Any

from events.outcomes_observed import OutcomeRun, OutcomesObserved
from events.provider_changed import BreakerPolicy
from processors.verify.naive.breakers import FAILED, latencies_of

FORCED = {"FORCED_OPEN", "DISABLED", "METRICS_ONLY"}
SECOND_US = 1_000_000
KEPT_S = 300


@dataclass
class Call:
    """One counted call: its second, whether it failed, and a latency that it is known to exceed, ms."""

    second: int
    failed: bool
    above_ms: int


@dataclass
class NaiveBreaker:
    """Decides call by call. `log` holds what it decided, one dict for a transition."""

    deployment: str
    policy: BreakerPolicy
    state: str = "CLOSED"
    version: int = 0
    trips: int = 0
    since_us: int = 0
    open_until_us: int | None = None
    override: tuple[str, str, int | None] | None = None
    calls: list[Call] = field(default_factory=list)
    counted: int = 0
    counted_failures: int = 0
    stale: int = 0
    stale_failures: int = 0
    ignored: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def observe(self, observed: OutcomesObserved, offset: int, clock_us: int) -> None:
        """Time first, then every call of the record in its order."""
        self.tick(offset, clock_us)
        for index, run in enumerate(observed.runs):
            for number, above_ms in enumerate(latencies_of(run), start=1):
                self.call(run, above_ms, clock_us, (offset, index, number))

    def tick(self, offset: int, clock_us: int) -> None:
        """What the clock alone brings about."""
        where = (offset, 0, 0)
        if self.state == "OPEN" and self.open_until_us is not None and clock_us >= self.open_until_us:
            self.move("HALF_OPEN", "OPEN_ELAPSED", clock_us, where)
        elif (
            self.state == "HALF_OPEN"
            and clock_us - self.since_us >= self.policy.half_open_max_wait_s * SECOND_US
        ):
            self.move("OPEN", "HALF_OPEN_TIMEOUT", clock_us, where)
        elif self.override is not None and self.override[2] is not None and clock_us >= self.override[2]:
            self.move("CLOSED", "OVERRIDE_EXPIRED", clock_us, where)

    def force(self, mode: str, wanted: tuple[str, str, int | None], *, offset: int, clock_us: int) -> None:
        """An operator's word; `wanted` is actor, reason and until when."""
        if mode == "NONE":
            if self.state in FORCED:
                self.move("CLOSED", "OVERRIDE_CLEARED", clock_us, (offset, 0, 0))
        elif self.state != mode or self.override != wanted:
            self.move(mode, "OVERRIDE_SET", clock_us, (offset, 0, 0), wanted)

    def call(self, run: OutcomeRun, above_ms: int, clock_us: int, where: tuple[int, int, int]) -> None:
        """One call."""
        if self.state == "DISABLED":
            return
        failed = run.kind in FAILED
        if not failed and run.kind != "SUCCESS":
            self.ignored += 1
            return
        second = min(run.second, clock_us // SECOND_US)
        newest = max((call.second for call in self.calls), default=second)
        mine = run.breaker_epoch == self.version
        if self.state in {"CLOSED", "METRICS_ONLY"}:
            mine = mine or run.breaker_epoch is None
        elif self.state != "HALF_OPEN":
            mine = False
        if not mine or second <= newest - KEPT_S:
            self.stale += 1
            self.stale_failures += failed
            return
        self.calls.append(Call(second, failed, above_ms))
        self.counted += 1
        self.counted_failures += failed
        if self.state == "CLOSED":
            cause = self.tripped()
            if cause:
                self.move("OPEN", cause, clock_us, where)
        elif self.state == "HALF_OPEN":
            if failed:
                self.move("OPEN", "PROBE_FAILED", clock_us, where)
            elif len(self.calls) >= self.policy.half_open_permits:
                self.move("CLOSED", "PROBES_SUCCEEDED", clock_us, where)

    def looked_at(self) -> list[Call]:
        """The calls in the policy's window."""
        if self.policy.window == "COUNT":
            return self.calls[-self.policy.window_calls :]
        newest = max((call.second for call in self.calls), default=0)
        return [call for call in self.calls if call.second > newest - self.policy.window_s]

    def figures(self) -> tuple[int, int, int, int]:
        """Calls, failures and slow calls in the window, and failures in a row."""
        seen = self.looked_at()
        streak = 0
        for call in reversed(self.calls):
            if not call.failed:
                break
            streak += 1
        slow = [call for call in seen if call.above_ms >= self.policy.slow_call_s * 1000]
        return len(seen), sum(call.failed for call in seen), len(slow), streak

    def tripped(self) -> str | None:
        """The rule that fires now."""
        calls, failures, slow, streak = self.figures()
        needed = self.policy.minimum_calls
        if self.policy.window == "COUNT":
            needed = min(needed, self.policy.window_calls)
        if streak >= self.policy.consecutive_failures:
            return "CONSECUTIVE_FAILURES"
        if calls >= needed and Fraction(failures, calls) >= Fraction(str(self.policy.failure_rate)):
            return "FAILURE_RATE"
        if calls >= needed and Fraction(slow, calls) >= Fraction(str(self.policy.slow_rate)):
            return "SLOW_RATE"
        return None

    def move(
        self,
        to_state: str,
        cause: str,
        clock_us: int,
        where: tuple[int, int, int],
        override: tuple[str, str, int | None] | None = None,
    ) -> None:
        """Go to another state; a new epoch and an empty list of calls."""
        figures = self.figures()
        if self.state == "CLOSED":
            for _ in range((clock_us - self.since_us) // (self.policy.open_for_cap_s * SECOND_US)):
                if self.trips == 0:
                    break
                self.trips -= 1
        self.version += 1
        if cause in {"CONSECUTIVE_FAILURES", "FAILURE_RATE", "SLOW_RATE", "PROBE_FAILED"}:
            self.trips += 1
        self.open_until_us = clock_us + self.wait_us() if to_state == "OPEN" else None
        self.log.append(
            {
                "version": self.version,
                "from_state": self.state,
                "to_state": to_state,
                "cause": cause,
                "epoch": self.version,
                "trips": self.trips,
                "occurred_at": clock_us,
                "open_until": self.open_until_us,
                "figures": figures,
                "where": where,
                "override": override,
            }
        )
        self.state, self.since_us, self.override, self.calls = to_state, clock_us, override, []

    def wait_us(self) -> int:
        """Doubled with each trip, capped, plus the share of the jitter that the hash says."""
        seconds = self.policy.open_for_s
        for _ in range(self.trips - 1):
            if seconds < self.policy.open_for_cap_s:
                seconds *= 2
        whole_us = min(seconds, self.policy.open_for_cap_s) * SECOND_US
        digest = blake2b(f"{self.deployment}#{self.version}".encode(), digest_size=8).hexdigest()
        extra = whole_us * Fraction(str(self.policy.jitter)) * Fraction(int(digest, 16), 2**64)
        return whole_us + math.floor(extra)
