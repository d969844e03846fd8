"""The documents of a provider's state: its calls, its breakers, its health checks, each from a topic of its own."""

from __future__ import annotations

from projections.analytics.documents import Draft, Fields, carrier, names, scaled, share, when
from projections.analytics.windows import Sums, Window, counted

FAILING, SLOW_MS = 0.05, 5_000

_SYMPTOMS = (
    "CONNECT_ERROR",
    "TIMEOUT",
    "SERVER_ERROR",
    "OVERLOADED",
    "STREAM_CUT",
    "RATE_LIMITED",
    "UNAUTHORIZED",
)


def calls_drafts(window: Window) -> list[Draft]:
    key, sums = window.key, window.sums
    calls, failures = sums["calls"], sums.get("failures", 0)
    outcomes = counted(sums, "outcome")
    mean_ms = sums.get("latency_ms", 0) // calls
    worst = (
        ", ".join(f"{name} {count:,}" for name, count in sorted(outcomes.items()) if name != "SUCCESS")
        or "nothing went wrong"
    )
    text = (
        f"{key.provider} answered {calls:,} calls {when(key)}: {share(failures, calls):.1%} failed ({worst}), "
        f"{mean_ms:,} ms on average."
    )
    fields = _state_fields(
        calls=calls, failures=failures, failure_rate=share(failures, calls), mean_ms=mean_ms
    )
    words = [*names(key), "calls", *(name for name in outcomes if name != "SUCCESS")]
    words += ["failing"] if share(failures, calls) >= FAILING else ["healthy"]
    words += ["slow"] if mean_ms >= SLOW_MS else []
    return [carrier(window, text, fields, calls_figures(sums), tuple(words))]


def calls_figures(sums: Sums) -> tuple[float, ...]:
    """How a provider does, whatever its name: what states are compared by."""
    calls, outcomes = sums["calls"], counted(sums, "outcome")
    return (
        share(sums.get("failures", 0), calls) ** 0.5,
        *(share(outcomes.get(kind, 0), calls) ** 0.5 for kind in _SYMPTOMS),
        scaled(sums.get("latency_ms", 0) // calls, 120_000),
    )


def breaker_drafts(window: Window) -> list[Draft]:
    key, sums = window.key, window.sums
    states, causes = counted(sums, "to"), counted(sums, "cause")
    opened = states.get("OPEN", 0) + states.get("FORCED_OPEN", 0)
    told = ", ".join(f"{count:,} to {name}" for name, count in sorted(states.items()))
    text = (
        f"Breakers of {key.provider} changed {sums['transitions']:,} times {when(key)}: {told}; "
        f"causes {', '.join(sorted(causes))}; of {', '.join(sorted(counted(sums, 'deployment')))}."
    )
    fields = _state_fields(transitions=sums["transitions"], opened=opened)
    numbers = (scaled(sums["transitions"], 100), share(opened, sums["transitions"]))
    words = (*names(key), "breaker", *states, *causes)
    return [carrier(window, text, fields, numbers, words)]


def check_drafts(window: Window) -> list[Draft]:
    key, sums = window.key, window.sums
    statuses = counted(sums, "status")
    bad = statuses.get("UNHEALTHY", 0) + statuses.get("DEGRADED", 0)
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(statuses.items()))
    text = f"{key.provider} was checked {sums['checks']:,} times {when(key)}: {told}."
    fields = _state_fields(checks=sums["checks"], unhealthy_checks=bad)
    numbers = (share(bad, sums["checks"]), scaled(sums["latency_ms"] // sums["checks"], 120_000))
    return [carrier(window, text, fields, numbers, (*names(key), "check", *statuses))]


def _state_fields(**given: float) -> Fields:
    """The same keys for every aspect of a provider's state."""
    nothing: Fields = {
        "calls": 0,
        "failures": 0,
        "failure_rate": 0.0,
        "mean_ms": 0,
        "transitions": 0,
        "opened": 0,
        "checks": 0,
        "unhealthy_checks": 0,
    }
    return nothing | given
