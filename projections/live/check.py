"""CheckHealth: what health checks say of a provider or of one deployment. Key `check:<provider>` or `check:<deployment>`.

A fold of ProviderHealthChecked. Counts by time commute; the rest follows the order of the health partition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from projections.live.buckets import Buckets, added, read_buckets, summed
from projections.live.canonical import encode
from projections.live.ewma import moved

BUCKET_US = 900_000_000
DAY_BUCKETS = 96

_UP = frozenset({HealthStatus.HEALTHY, HealthStatus.DEGRADED})


@dataclass(frozen=True, slots=True)
class CheckError:
    """The last check that found its subject unhealthy."""

    at_us: int
    text: str | None
    status_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckHealth:
    """Health of a subject (`provider` or `provider/model[@region]`), by its checks.

    A degraded subject is up. A check without a verdict (UNKNOWN) is noted and counts for nothing. `buckets` are quarter
    hours of (verdicts, verdicts that it is up) over 24 hours, back from `newest_us`; `verdicts` and `up` count all.
    """

    subject: str
    status: HealthStatus = HealthStatus.UNKNOWN
    since_us: int | None = None
    checked_us: int | None = None
    verdicts: int = 0
    up: int = 0
    newest_us: int = 0
    buckets: Buckets = ()
    latency_us: int | None = None
    consecutive_failures: int = 0
    last_error: CheckError | None = None

    @staticmethod
    def initial(subject: str) -> CheckHealth:
        """Before the first check."""
        return CheckHealth(subject=subject)

    def plus(self, event: ProviderHealthChecked) -> CheckHealth:
        """Fold one check. The caller drops duplicates."""
        changed = event.status is not self.status
        noted = replace(
            self,
            status=event.status,
            since_us=event.occurred_at if changed or self.since_us is None else self.since_us,
            checked_us=event.occurred_at,
        )
        if event.status is HealthStatus.UNKNOWN:
            return noted
        is_up = int(event.status in _UP)
        newest_us = max(self.newest_us, event.occurred_at)
        bucket = event.occurred_at // BUCKET_US
        error = self.last_error if is_up else CheckError(event.occurred_at, event.error, event.status_code)
        return replace(
            noted,
            verdicts=self.verdicts + 1,
            up=self.up + is_up,
            newest_us=newest_us,
            buckets=added(self.buckets, {bucket: (1, is_up)}, newest_us // BUCKET_US - DAY_BUCKETS + 1),
            latency_us=_latency_us(self.latency_us, event, is_up),
            consecutive_failures=0 if is_up else self.consecutive_failures + 1,
            last_error=error,
        )

    def uptime_of_day(self, now_us: int) -> float | None:
        """Share of the verdicts of the last 24 hours (to the quarter hour) that it is up; None without any."""
        last = now_us // BUCKET_US
        verdicts, up = summed(self.buckets, range(last - DAY_BUCKETS + 1, last + 1), 2)
        return up / verdicts if verdicts else None

    @property
    def uptime(self) -> float | None:
        """Share of all verdicts that it is up; None without any."""
        return self.up / self.verdicts if self.verdicts else None

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> CheckHealth:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        error = fields["last_error"]
        fields["status"] = HealthStatus(fields["status"])
        fields["buckets"] = read_buckets(fields["buckets"])
        fields["last_error"] = error and CheckError(error["at_us"], error["text"], error["status_code"])
        return CheckHealth(**fields)


def _latency_us(average_us: int | None, event: ProviderHealthChecked, is_up: int) -> int | None:
    """Only a check that was answered tells a latency."""
    if not is_up or event.latency_ms is None:
        return average_us
    return moved(average_us, round(event.latency_ms * 1000), 1)
