"""What outcomes should be on the log: the calls of each source range, put into runs one call at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

from events.outcomes_observed import LATENCY_BOUNDS_MS, OutcomeRun
from events.provider_health_checked import ProviderHealthChecked
from events.usage_recorded import UsageRecorded


def runs_of(calls: Iterable[tuple[int, UsageRecorded]], start: int) -> list[OutcomeRun]:
    """The calls of one deployment, by offset, as runs of the same kind, second and epoch."""
    groups: list[list[tuple[int, UsageRecorded]]] = []
    for at, call in calls:
        if groups and _alike(groups[-1][-1][1]) == _alike(call):
            groups[-1].append((at, call))
        else:
            groups.append([(at, call)])
    return [
        replace(
            _run([call for _, call in group]),
            calls=b"".join(
                word.to_bytes(4, "little") for at, call in group for word in (at - start, call.latency_ms)
            ),
        )
        for group in groups
    ]


def run_of_check(check: ProviderHealthChecked) -> OutcomeRun | None:
    """A check of a deployment as one call; None when it says nothing of a deployment."""
    if not check.model or check.status == "UNKNOWN":
        return None
    return _run(
        [
            UsageRecorded(
                event_id=check.event_id,
                occurred_at=check.occurred_at,
                source="",
                tenant="",
                request_id="",
                provider=check.provider,
                model=check.model,
                outcome="SERVER_ERROR" if check.status == "UNHEALTHY" else "SUCCESS",  # type: ignore[arg-type]
                latency_ms=round(check.latency_ms or 0),
                error=check.error,
            )
        ],
        tell_errors=True,
    )


def _alike(call: UsageRecorded) -> tuple[str, int, int | None]:
    return str(call.outcome), call.occurred_at // 10**6, call.breaker_epoch


def _run(calls: list[UsageRecorded], *, tell_errors: bool = False) -> OutcomeRun:
    kind, second, epoch = _alike(calls[0])
    bounds = [-1, *LATENCY_BOUNDS_MS, 10**18]
    errors = [call.error for call in calls if call.error is not None and (tell_errors or kind != "SUCCESS")]
    asked = [
        call.occurred_at + call.retry_after_ms * 1000
        for call in calls
        if kind == "RATE_LIMITED" and call.retry_after_ms is not None
    ]
    return OutcomeRun(
        kind=calls[0].outcome,
        count=len(calls),
        second=second,
        breaker_epoch=epoch,
        latency_ms_sum=sum(call.latency_ms for call in calls),
        latency_buckets=tuple(
            sum(low < call.latency_ms <= high for call in calls) for low, high in itertools.pairwise(bounds)
        ),
        gate_until=max(asked, default=None),
        last_error=errors[-1] if errors else None,
    )
