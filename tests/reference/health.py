"""How deployments and checks fared, told naively: all outcomes in a list, every figure worked out from the whole list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import takewhile
from math import floor
from typing import Any

from events.outcomes_observed import OutcomesObserved
from events.provider_health_checked import ProviderHealthChecked

_PROVIDERS_FAULT = ("CONNECT_ERROR", "TLS_ERROR", "TIMEOUT", "SERVER_ERROR", "OVERLOADED", "STREAM_CUT")
_REFUSED = ("RATE_LIMITED", "UNAUTHORIZED", "BILLING")


def health_documents(observed: Iterable[OutcomesObserved]) -> dict[str, dict[str, Any]]:
    """By deployment the JSON document that the live state should hold, from all outcomes there are, in order."""
    by_deployment: dict[str, list[OutcomesObserved]] = {}
    for event in observed:
        by_deployment.setdefault(event.deployment, []).append(event)
    return {deployment: _health(events) for deployment, events in by_deployment.items()}


def _health(events: Sequence[OutcomesObserved]) -> dict[str, Any]:
    runs = [(min(run.second, event.occurred_at // 10**6), run) for event in events for run in event.runs]
    newest = max((second for second, _ in runs), default=0)
    totals: Counter[str] = Counter()
    in_a_row = 0
    average: int | None = None
    error = success = None
    for second, run in runs:
        totals[str(run.kind)] += run.count
        if run.kind == "SUCCESS":
            in_a_row, success = 0, second
            total_us = run.latency_ms_sum * 1000
            if average is None:
                average = floor(Fraction(total_us, run.count))
            else:
                average += floor(Fraction(total_us - run.count * average, run.count + 9))
        if run.kind in _PROVIDERS_FAULT:
            in_a_row += run.count
        if run.kind in _PROVIDERS_FAULT + _REFUSED:
            error = {"kind": str(run.kind), "at_s": second, "text": run.last_error}
    first = events[0]
    return {
        "provider": first.provider,
        "model": first.model,
        "region": first.region,
        "totals": dict(totals),
        "newest_s": newest,
        "fine": _buckets(runs, newest, width=10, kept=30),
        "coarse": _buckets(runs, newest, width=60, kept=60),
        "latency_us": average,
        "consecutive_failures": in_a_row,
        "last_error": error,
        "last_success_s": success,
    }


def _buckets(runs: Sequence[tuple[int, Any]], newest: int, *, width: int, kept: int) -> list[list[int]]:
    rows = []
    for index in range(newest // width - kept + 1, newest // width + 1):
        here = [run for second, run in runs if second // width == index]
        if here:
            good = [run for run in here if run.kind == "SUCCESS"]
            bad = [run for run in here if run.kind in _PROVIDERS_FAULT]
            rest = [run for run in here if run.kind != "SUCCESS" and run.kind not in _PROVIDERS_FAULT]
            counts = [sum(run.count for run in group) for group in (good, bad, rest)]
            rows.append([index, *counts, sum(run.latency_ms_sum for run in good)])
    return rows


def check_documents(checks: Iterable[ProviderHealthChecked]) -> dict[str, dict[str, Any]]:
    """By subject the JSON document that the live state should hold, from all checks there are, in order."""
    by_subject: dict[str, list[ProviderHealthChecked]] = {}
    for event in checks:
        subject = event.provider
        if event.model:
            subject += f"/{event.model}" + (f"@{event.region}" if event.region else "")
        by_subject.setdefault(subject, []).append(event)
    return {subject: _check(subject, events) for subject, events in by_subject.items()}


def _check(subject: str, events: Sequence[ProviderHealthChecked]) -> dict[str, Any]:
    verdicts = [event for event in events if event.status != "UNKNOWN"]
    ups = [event for event in verdicts if event.status != "UNHEALTHY"]
    downs = [event for event in verdicts if event.status == "UNHEALTHY"]
    newest = max((event.occurred_at for event in verdicts), default=0)
    average: int | None = None
    for event in ups:
        if event.latency_ms is not None:
            took_us = round(event.latency_ms * 1000)
            average = took_us if average is None else average + floor(Fraction(took_us - average, 10))
    rows = []
    for quarter in range(newest // 900_000_000 - 95, newest // 900_000_000 + 1):
        here = [event for event in verdicts if event.occurred_at // 900_000_000 == quarter]
        if here:
            rows.append([quarter, len(here), sum(event.status != "UNHEALTHY" for event in here)])
    since = events[-1].occurred_at
    for event in takewhile(lambda event: event.status == events[-1].status, reversed(events)):
        since = event.occurred_at
    last_down = downs[-1] if downs else None
    return {
        "subject": subject,
        "status": str(events[-1].status),
        "since_us": since,
        "checked_us": events[-1].occurred_at,
        "verdicts": len(verdicts),
        "up": len(ups),
        "newest_us": newest,
        "buckets": rows,
        "latency_us": average,
        "consecutive_failures": len(
            list(takewhile(lambda event: event.status == "UNHEALTHY", reversed(verdicts)))
        ),
        "last_error": last_down
        and {"at_us": last_down.occurred_at, "text": last_down.error, "status_code": last_down.status_code},
    }
