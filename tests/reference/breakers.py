"""Breakers and windows as the log tells them: outcomes call by call, with the recorded transitions in their places.

Nothing is decided here. `following` says whether a transition on the log follows from its rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.breaker_transitioned import BreakerTransitioned
from events.outcomes_observed import OutcomeRun, OutcomesObserved
from tests.reference.breaker import FAILED, latencies_of

SLOW_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 120_000)
KEPT_S = 300
KEPT_CALLS = 1000
ASKS = 8


_TOTALS = ("total_calls", "total_failures", "stale_calls", "stale_failures", "ignored_calls")


@dataclass
class Seen:
    """One counted call."""

    second: int
    failed: bool
    above_ms: int


@dataclass
class ToldBreaker:
    """Where one deployment is, after the records so far."""

    name: tuple[str, str, str | None]
    transitions: list[BreakerTransitioned]
    applied: list[BreakerTransitioned] = field(default_factory=list)
    calls: list[Seen] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))
    sources: dict[str, int] = field(default_factory=dict)
    asks: list[tuple[int, int]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """State after the transitions so far."""
        return str(self.applied[-1].to_state) if self.applied else "CLOSED"

    def up_to(self, offset: int, run: int, calls: int) -> None:
        """Apply the transitions whose place is reached."""
        while len(self.applied) < len(self.transitions):
            after = self.transitions[len(self.applied)]
            if (after.outcomes_offset, after.run_index, after.run_calls) > (offset, run, calls):
                break
            self.applied.append(after)
            self.calls = []

    def observe(self, event: OutcomesObserved, offset: int, clock_us: int) -> None:
        """Each call of a record in its order."""
        self.up_to(offset, 0, 0)
        self.sources[f"{event.source_topic}.{event.source_partition}"] = event.source_end
        for index, run in enumerate(event.runs):
            self._gate(run, clock_us)
            for number, above_ms in enumerate(latencies_of(run), start=1):
                self._call(run, above_ms, clock_us)
                self.up_to(offset, index, number)

    def _gate(self, run: OutcomeRun, clock_us: int) -> None:
        if run.kind == "SUCCESS":
            self.refused = []
        elif run.kind in ("UNAUTHORIZED", "BILLING"):
            self.refused.append((clock_us, str(run.kind)))
        elif run.kind == "RATE_LIMITED" and run.gate_until is not None and run.gate_until > clock_us:
            longer = [ask for ask in self.asks if ask[1] > run.gate_until]
            self.asks = [*longer, (clock_us, run.gate_until)][-ASKS:]

    def _call(self, run: OutcomeRun, above_ms: int, clock_us: int) -> None:
        if self.state == "DISABLED":
            return
        failed = run.kind in FAILED
        if not failed and run.kind != "SUCCESS":
            self.totals["ignored_calls"] += 1
            return
        second = min(run.second, clock_us // 10**6)
        newest = max((call.second for call in self.calls), default=second)
        epoch = self.applied[-1].epoch if self.applied else 0
        match self.state:
            case "CLOSED" | "METRICS_ONLY":
                counts = run.breaker_epoch in (None, epoch)
            case "HALF_OPEN":
                counts = run.breaker_epoch == epoch
            case _:
                counts = False
        kept = counts and second > newest - KEPT_S
        self.totals["total_calls" if kept else "stale_calls"] += 1
        self.totals["total_failures" if kept else "stale_failures"] += failed
        if kept:
            self.calls.append(Seen(second, failed, above_ms))

    def window_document(self) -> dict[str, Any]:
        """The JSON document of the deployment's window."""
        newest = max((call.second for call in self.calls), default=0)
        in_a_row = 0
        for call in reversed(self.calls):
            if not call.failed:
                break
            in_a_row += 1
        return {
            **self.totals,
            "buckets": [
                _bucket(second, self.calls)
                for second in sorted({c.second for c in self.calls})
                if second > newest - KEPT_S
            ],
            "recent": "".join(_letter(call) for call in self.calls[-KEPT_CALLS:]),
            "calls": len(self.calls),
            "consecutive_failures": in_a_row,
            "sources": self.sources,
        }

    def breaker_document(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """The JSON document of the deployment's breaker; `settings` is the provider's document."""
        last = self.applied[-1] if self.applied else None
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


def first_of_each(transitions: Iterable[BreakerTransitioned]) -> dict[str, list[BreakerTransitioned]]:
    """By deployment the first transition of each version on the log, by version."""
    firsts: dict[str, dict[int, BreakerTransitioned]] = {}
    for event in transitions:
        firsts.setdefault(event.deployment, {}).setdefault(event.version, event)
    return {name: [found[version] for version in sorted(found)] for name, found in firsts.items()}


def tell_breakers(
    outcomes: Sequence[tuple[int, OutcomesObserved]],
    clocks_ms: Sequence[int],
    transitions: Iterable[BreakerTransitioned],
) -> dict[str, ToldBreaker]:
    """The breakers of one partition, by deployment, after all of its outcomes and transitions."""
    by_deployment = first_of_each(transitions)
    breakers = {
        name: ToldBreaker((found[0].provider, found[0].model, found[0].region), found)
        for name, found in by_deployment.items()
    }
    for offset, event in outcomes:
        name = (event.provider, event.model, event.region)
        breaker = breakers.setdefault(event.deployment, ToldBreaker(name, []))
        breaker.observe(event, offset, clocks_ms[offset] * 1000)
    for breaker in breakers.values():
        breaker.up_to(len(clocks_ms), 0, 0)
    return breakers


def _bucket(second: int, calls: Sequence[Seen]) -> list[int]:
    here = [call for call in calls if call.second == second]
    row = [second, len(here), sum(call.failed for call in here)]
    row += [sum(call.above_ms >= bound for call in here) for bound in SLOW_MS]
    while len(row) > 3 and row[-1] == 0:
        row.pop()
    return row


def _letter(call: Seen) -> str:
    return ("ABCDEFG" if call.failed else "abcdefg")[sum(call.above_ms >= bound for bound in SLOW_MS)]


def _strings(values: Iterable[Any]) -> Iterator[str]:
    return (str(value) for value in values)
