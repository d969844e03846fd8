"""Breakers and windows as the log tells them: outcomes call by call, with the recorded transitions in their places.

Nothing is decided here: a transition is applied where the log says that it was made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.breaker_transitioned import BreakerTransitioned
from events.outcomes_observed import LATENCY_BOUNDS_MS, OutcomeRun, OutcomesObserved

FAILED = {"CONNECT_ERROR", "TLS_ERROR", "TIMEOUT", "SERVER_ERROR", "OVERLOADED", "STREAM_CUT"}
SLOW_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 120_000)
KEPT_S = 300
KEPT_CALLS = 1000
ASKS = 8

Point = tuple[int, int, int]
"""(outcomes offset, run index, calls of the run): what is applied before a transition."""

_TOTALS = ("total_calls", "total_failures", "stale_calls", "stale_failures", "ignored_calls")


@dataclass(slots=True)
class Counted:
    """The calls that were counted since the last transition: by second, and the last ones a letter each."""

    seconds: dict[int, list[int]] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_CALLS))
    calls: int = 0
    failures_in_a_row: int = 0
    newest: int | None = None

    def is_too_old(self, second: int) -> bool:
        """Whether calls of that second are no longer counted."""
        return self.newest is not None and second <= self.newest - KEPT_S

    def count(self, second: int, failed: bool, above_ms: int) -> None:
        """One call; `above_ms` is a latency that it is known to exceed."""
        exceeded = [above_ms >= bound for bound in SLOW_MS]
        row = self.seconds.setdefault(second, [0] * (2 + len(SLOW_MS)))
        for index, one in enumerate([True, failed, *exceeded]):
            row[index] += one
        self.recent.append(("ABCDEFG" if failed else "abcdefg")[sum(exceeded)])
        self.calls += 1
        self.failures_in_a_row = self.failures_in_a_row + 1 if failed else 0
        if self.newest is None or second > self.newest:
            self.newest = second
            self.seconds = {at: held for at, held in self.seconds.items() if at > second - KEPT_S}

    def buckets(self) -> list[list[int]]:
        """A row for each second that had calls, zeros at the end cut."""
        rows = []
        for second, held in sorted(self.seconds.items()):
            row = [second, *held]
            while len(row) > 3 and row[-1] == 0:
                row.pop()
            rows.append(row)
        return rows


@dataclass(slots=True)
class ToldBreaker:
    """Where one deployment is, after the records so far. `transitions` are those of the log; more may be put behind."""

    name: tuple[str, str, str | None]
    transitions: list[BreakerTransitioned]
    applied: int = 0
    counted: Counted = field(default_factory=Counted)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))
    sources: dict[str, int] = field(default_factory=dict)
    asks: list[tuple[int, int]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    @property
    def last(self) -> BreakerTransitioned | None:
        """The last transition that is applied."""
        return self.transitions[self.applied - 1] if self.applied else None

    @property
    def state(self) -> str:
        """State after the transitions so far."""
        return str(self.last.to_state) if self.last else "CLOSED"

    @property
    def following(self) -> BreakerTransitioned | None:
        """The first transition that is not applied."""
        return self.transitions[self.applied] if self.applied < len(self.transitions) else None

    def up_to(self, point: Point) -> None:
        """Apply the transitions whose place is reached."""
        while self.following is not None and point_of(self.following) <= point:
            self.apply()

    def apply(self) -> None:
        """Apply the next transition: nothing is counted yet in its epoch."""
        self.applied += 1
        self.counted = Counted()

    def observe(self, event: OutcomesObserved, offset: int, clock_us: int) -> None:
        """Each call of a record in its order."""
        self.up_to((offset, 0, 0))
        self.sources[f"{event.source_topic}.{event.source_partition}"] = event.source_end
        for index, run in enumerate(event.runs):
            self._gate(run, clock_us)
            for number, above_ms in enumerate(latencies_of(run), start=1):
                self._call(run, above_ms, clock_us)
                self.up_to((offset, index, number))

    def _gate(self, run: OutcomeRun, clock_us: int) -> None:
        if run.kind == "SUCCESS":
            self.refused = []
        elif run.kind in ("UNAUTHORIZED", "BILLING"):
            # Of those before, only the first is asked for.
            self.refused = [*self.refused[:1], (clock_us, str(run.kind))]
        elif run.kind == "RATE_LIMITED" and run.gate_until is not None and run.gate_until > clock_us:
            longer = [ask for ask in self.asks if ask[1] > run.gate_until]
            self.asks = [*longer, (clock_us, run.gate_until)][-ASKS:]

    def _call(self, run: OutcomeRun, above_ms: int, clock_us: int) -> None:
        state, last = self.state, self.last
        if state == "DISABLED":
            return
        failed = run.kind in FAILED
        if not failed and run.kind != "SUCCESS":
            self.totals["ignored_calls"] += 1
            return
        second = min(run.second, clock_us // 10**6)
        epoch = last.epoch if last else 0
        match state:
            case "CLOSED" | "METRICS_ONLY":
                counts = run.breaker_epoch in (None, epoch)
            case "HALF_OPEN":
                counts = run.breaker_epoch == epoch
            case _:
                counts = False
        kept = counts and not self.counted.is_too_old(second)
        self.totals["total_calls" if kept else "stale_calls"] += 1
        self.totals["total_failures" if kept else "stale_failures"] += failed
        if kept:
            self.counted.count(second, failed, above_ms)

    def window_document(self) -> dict[str, Any]:
        """The JSON document of the deployment's window."""
        return {
            **self.totals,
            "buckets": self.counted.buckets(),
            "recent": "".join(self.counted.recent),
            "calls": self.counted.calls,
            "consecutive_failures": self.counted.failures_in_a_row,
            "sources": dict(self.sources),
        }

    def breaker_document(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """The JSON document of the deployment's breaker; `settings` is the provider's document."""
        last = self.last
        policy = policy_in(settings, self.deployment)
        told = {name: getattr(last, name) if last else empty for name, empty in _OF_TRANSITION.items()}
        return {
            **{
                name: value if value is None or isinstance(value, int) else str(value)
                for name, value in told.items()
            },
            "provider": self.name[0],
            "model": self.name[1],
            "region": self.name[2],
            "state": self.state,
            "since_us": last.occurred_at if last else 0,
            "open_until_us": last.open_until if last else None,
            "override_until_us": last.override_until if last else None,
            "rate_asks": [list(ask) for ask in self.asks],
            "refused_since_us": self.refused[0][0] if self.refused else None,
            "refused_us": self.refused[-1][0] if self.refused else None,
            "refused_kind": self.refused[-1][1] if self.refused else None,
            "gate_cap_s": policy.get("gate_cap_s", 300),
            "half_open_concurrent": policy.get("half_open_concurrent", 1),
            "credentials_renewed_us": settings["changed_us"] if settings else 0,
        }

    @property
    def deployment(self) -> str:
        """Its name."""
        provider, model, region = self.name
        return f"{provider}/{model}" + (f"@{region}" if region else "")


_OF_TRANSITION: dict[str, Any] = {
    "version": 0,
    "epoch": 0,
    "trips": 0,
    "cause": None,
    "reason": "",
    "calls": 0,
    "failures": 0,
    "slow_calls": 0,
    "consecutive_failures": 0,
    "policy_version": 0,
    "override_actor": None,
    "override_reason": None,
}


def policy_in(settings: Mapping[str, Any] | None, deployment: str) -> dict[str, Any]:
    """The deployment's own policy, else its provider's, else nothing, which stands for the defaults."""
    if settings is None:
        return {}
    return settings["deployment_policies"].get(deployment, settings["breaker_policy"]) or {}


def point_of(event: BreakerTransitioned) -> Point:
    """Where a transition belongs."""
    return event.outcomes_offset, event.run_index, event.run_calls


def latencies_of(run: OutcomeRun) -> list[int]:
    """For each call of a run, in the order that the rules give them, a latency that it is known to exceed."""
    known = [
        ([0, *LATENCY_BOUNDS_MS][index])
        for index, count in enumerate(run.latency_buckets)
        for _ in range(count)
    ]
    return [0] * (run.count - len(known)) + known


def first_of_each(transitions: Iterable[BreakerTransitioned]) -> dict[str, list[BreakerTransitioned]]:
    """By deployment the first transition of each version on the log, by version."""
    firsts: dict[str, dict[int, BreakerTransitioned]] = {}
    for event in transitions:
        firsts.setdefault(event.deployment, {}).setdefault(event.version, event)
    return {name: [found[version] for version in sorted(found)] for name, found in firsts.items()}
