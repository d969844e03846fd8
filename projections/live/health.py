"""DeploymentHealth: how the calls to a deployment end, and how long they take. Key `health:<deployment>`.

A fold of OutcomesObserved. Counts by time commute; the average latency, the failures in a row and the last error follow
the order of the outcomes partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from events.envelope import CREDENTIAL_OUTCOMES, FAILURES, OutcomeKind, deployment_name
from events.outcomes_observed import OutcomeRun, OutcomesObserved
from projections.live.buckets import Buckets, added, read_buckets, summed
from projections.live.canonical import encode
from projections.live.ewma import moved

FINE_S = 10
FINE_BUCKETS = 30
COARSE_S = 60
COARSE_BUCKETS = 60

ERRORS = FAILURES | CREDENTIAL_OUTCOMES | {OutcomeKind.RATE_LIMITED}
"""Outcomes that are remembered as the last error: the provider failed or refused. The rest is the caller's own."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The last outcome among ERRORS, in partition order."""

    kind: OutcomeKind
    at_s: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Calls over a window. `other` says nothing of the provider; `latency_ms` is the sum over the successes."""

    successes: int
    failures: int
    other: int
    latency_ms: int

    @property
    def calls(self) -> int:
        """All of them."""
        return self.successes + self.failures + self.other

    @property
    def success_rate(self) -> float | None:
        """Share of successes among successes and failures; None without either."""
        counted = self.successes + self.failures
        return self.successes / counted if counted else None

    @property
    def mean_latency_ms(self) -> int | None:
        """Mean over the successes, rounded down; None without any."""
        return self.latency_ms // self.successes if self.successes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentHealth:
    """Health of one deployment, by its calls.

    `fine` are buckets of 10 s over 5 minutes, `coarse` of 60 s over an hour, of (successes, failures, other, sum of the
    successes' latencies in ms), back from `newest_s`, the newest second seen. `totals` counts all calls by kind.
    """

    provider: str
    model: str
    region: str | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    newest_s: int = 0
    fine: Buckets = ()
    coarse: Buckets = ()
    latency_us: int | None = None
    consecutive_failures: int = 0
    last_error: LastError | None = None
    last_success_s: int | None = None

    @property
    def deployment(self) -> str:
        """`provider/model[@region]`."""
        return deployment_name(self.provider, self.model, self.region)

    @staticmethod
    def initial(event: OutcomesObserved) -> DeploymentHealth:
        """Of the event's deployment, before any call."""
        return DeploymentHealth(provider=event.provider, model=event.model, region=event.region)

    def plus(self, event: OutcomesObserved) -> DeploymentHealth:
        """Fold the runs of one event. A second after the event itself is a clock that runs ahead: it counts as then.

        The caller drops duplicates, by the source range that the event covers.
        """
        latest_s = event.occurred_at // 1_000_000
        fine: dict[int, list[int]] = {}
        coarse: dict[int, list[int]] = {}
        totals = dict(self.totals)
        newest_s = self.newest_s
        for run in event.runs:
            second = min(run.second, latest_s)
            newest_s = max(newest_s, second)
            totals[run.kind.value] = totals.get(run.kind.value, 0) + run.count
            for sums, width_s in ((fine, FINE_S), (coarse, COARSE_S)):
                _count(sums.setdefault(second // width_s, [0, 0, 0, 0]), run)
        followed = _follow(self, event.runs, latest_s)
        return replace(
            followed,
            totals=totals,
            newest_s=newest_s,
            fine=added(self.fine, fine, newest_s // FINE_S - FINE_BUCKETS + 1),
            coarse=added(self.coarse, coarse, newest_s // COARSE_S - COARSE_BUCKETS + 1),
        )

    def window(self, length_s: int, now_s: int) -> Outcomes:
        """Calls of the last `length_s` seconds, to the bucket: at most an hour, in tens of seconds up to 5 minutes."""
        if length_s <= FINE_S * FINE_BUCKETS:
            buckets, width_s = self.fine, FINE_S
        else:
            buckets, width_s = self.coarse, COARSE_S
        last = now_s // width_s
        return Outcomes(*summed(buckets, range(last - length_s // width_s + 1, last + 1), 4))

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> DeploymentHealth:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        error, latency_us = fields["last_error"], fields["latency_us"]
        fields["totals"] = {kind: int(count) for kind, count in fields["totals"].items()}
        fields["fine"] = read_buckets(fields["fine"])
        fields["coarse"] = read_buckets(fields["coarse"])
        fields["latency_us"] = None if latency_us is None else int(latency_us)
        fields["consecutive_failures"] = int(fields["consecutive_failures"])
        fields["last_error"] = error and LastError(OutcomeKind(error["kind"]), error["at_s"], error["text"])
        return DeploymentHealth(**fields)


def _count(sums: list[int], run: OutcomeRun) -> None:
    if run.kind is OutcomeKind.SUCCESS:
        sums[0] += run.count
        sums[3] += run.latency_ms_sum
    elif run.kind in FAILURES:
        sums[1] += run.count
    else:
        sums[2] += run.count


def _follow(health: DeploymentHealth, runs: tuple[OutcomeRun, ...], latest_s: int) -> DeploymentHealth:
    """What depends on the order. Only successes tell a latency: a refusal is quick and a timeout slow for its own
    reasons. What is not counted neither adds to the failures in a row nor ends them.
    """
    latency_us, failures = health.latency_us, health.consecutive_failures
    last_error, last_success_s = health.last_error, health.last_success_s
    for run in runs:
        second = min(run.second, latest_s)
        if run.kind is OutcomeKind.SUCCESS:
            latency_us = moved(latency_us, run.latency_ms_sum * 1000, run.count)
            failures = 0
            last_success_s = second
        elif run.kind in ERRORS:
            failures += run.count if run.kind in FAILURES else 0
            last_error = LastError(run.kind, second, run.last_error)
    return replace(
        health,
        latency_us=latency_us,
        consecutive_failures=failures,
        last_error=last_error,
        last_success_s=last_success_s,
    )
