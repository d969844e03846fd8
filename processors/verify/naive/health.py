"""How deployments and checks fared, told naively: event by event, every sum in a plain dict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from events.outcomes_observed import OutcomeRun, OutcomesObserved
from events.provider_health_checked import ProviderHealthChecked

_PROVIDERS_FAULT = ("CONNECT_ERROR", "TLS_ERROR", "TIMEOUT", "SERVER_ERROR", "OVERLOADED", "STREAM_CUT")
_REFUSED = ("RATE_LIMITED", "UNAUTHORIZED", "BILLING")
_FINE = (10, 30)
_COARSE = (60, 60)
_QUARTER_US = 900_000_000
_QUARTERS_KEPT = 96


@dataclass(slots=True)
class Fared:
    """One deployment, by its outcomes."""

    first: OutcomesObserved
    totals: Counter[str] = field(default_factory=Counter)
    newest: int = 0
    fine: dict[int, list[int]] = field(default_factory=dict)
    coarse: dict[int, list[int]] = field(default_factory=dict)
    average: int | None = None
    in_a_row: int = 0
    error: dict[str, Any] | None = None
    success: int | None = None

    def see(self, event: OutcomesObserved) -> None:
        """Each run of a record in its order."""
        for run in event.runs:
            second = min(run.second, event.occurred_at // 10**6)
            self.newest = max(self.newest, second)
            _count(self.fine, second, self.newest, run, _FINE)
            _count(self.coarse, second, self.newest, run, _COARSE)
            self._tell(run, second)

    def _tell(self, run: OutcomeRun, second: int) -> None:
        self.totals[str(run.kind)] += run.count
        if run.kind == "SUCCESS":
            self.in_a_row, self.success = 0, second
            total_us = run.latency_ms_sum * 1000
            if self.average is None:
                self.average = floor(Fraction(total_us, run.count))
            else:
                self.average += floor(Fraction(total_us - run.count * self.average, run.count + 9))
        if run.kind in _PROVIDERS_FAULT:
            self.in_a_row += run.count
        if run.kind in _PROVIDERS_FAULT + _REFUSED:
            self.error = {"kind": str(run.kind), "at_s": second, "text": run.last_error}

    def document(self) -> dict[str, Any]:
        """The JSON document of the deployment's health."""
        return {
            "provider": self.first.provider,
            "model": self.first.model,
            "region": self.first.region,
            "totals": dict(self.totals),
            "newest_s": self.newest,
            "fine": _rows(self.fine, self.newest, _FINE),
            "coarse": _rows(self.coarse, self.newest, _COARSE),
            "latency_us": self.average,
            "consecutive_failures": self.in_a_row,
            "last_error": self.error,
            "last_success_s": self.success,
        }


def _count(
    buckets: dict[int, list[int]], second: int, newest: int, run: OutcomeRun, shape: tuple[int, int]
) -> None:
    """Add a run to its bucket, and forget what nobody will ask for."""
    width, kept = shape
    row = buckets.setdefault(second // width, [0, 0, 0, 0])
    if run.kind == "SUCCESS":
        row[0] += run.count
        row[3] += run.latency_ms_sum
    elif run.kind in _PROVIDERS_FAULT:
        row[1] += run.count
    else:
        row[2] += run.count
    for index in [index for index in buckets if index <= newest // width - kept]:
        del buckets[index]


def _rows(buckets: dict[int, list[int]], newest: int, shape: tuple[int, int]) -> list[list[int]]:
    width, kept = shape
    return [[index, *row] for index, row in sorted(buckets.items()) if index > newest // width - kept]


@dataclass(slots=True)
class Checked:
    """One subject of health checks: a provider, or a deployment."""

    subject: str
    last: ProviderHealthChecked | None = None
    since_us: int = 0
    verdicts: int = 0
    ups: int = 0
    newest_us: int = 0
    quarters: dict[int, list[int]] = field(default_factory=dict)
    average: int | None = None
    downs_in_a_row: int = 0
    last_down: ProviderHealthChecked | None = None

    def see(self, event: ProviderHealthChecked) -> None:
        """One check more."""
        if self.last is None or self.last.status != event.status:
            self.since_us = event.occurred_at
        self.last = event
        if event.status == "UNKNOWN":
            return
        is_up = event.status != "UNHEALTHY"
        self.verdicts += 1
        self.ups += is_up
        self.newest_us = max(self.newest_us, event.occurred_at)
        self.downs_in_a_row = 0 if is_up else self.downs_in_a_row + 1
        if not is_up:
            self.last_down = event
        elif event.latency_ms is not None:
            took_us = round(event.latency_ms * 1000)
            before = self.average
            self.average = took_us if before is None else before + floor(Fraction(took_us - before, 10))
        row = self.quarters.setdefault(event.occurred_at // _QUARTER_US, [0, 0])
        row[0] += 1
        row[1] += is_up
        oldest = self.newest_us // _QUARTER_US - _QUARTERS_KEPT
        self.quarters = {number: held for number, held in self.quarters.items() if number > oldest}

    def document(self) -> dict[str, Any]:
        """The JSON document of the subject."""
        last, down = self.last, self.last_down
        assert last is not None
        return {
            "subject": self.subject,
            "status": str(last.status),
            "since_us": self.since_us,
            "checked_us": last.occurred_at,
            "verdicts": self.verdicts,
            "up": self.ups,
            "newest_us": self.newest_us,
            "buckets": [[number, *row] for number, row in sorted(self.quarters.items())],
            "latency_us": self.average,
            "consecutive_failures": self.downs_in_a_row,
            "last_error": down
            and {"at_us": down.occurred_at, "text": down.error, "status_code": down.status_code},
        }


def subject_of(event: ProviderHealthChecked) -> str:
    """What a check is about."""
    if not event.model:
        return event.provider
    return f"{event.provider}/{event.model}" + (f"@{event.region}" if event.region else "")
