"""The documents of a window of usage: how it is used, what it costs, how it performs."""

from __future__ import annotations

import json

from events.money import format_usd
from projections.analytics.documents import (
    COST,
    PERFORMANCE,
    Draft,
    Fields,
    carrier,
    common,
    failures_of,
    moment,
    names,
    scaled,
    share,
    when,
    who,
)
from projections.analytics.latency import percentile_ms
from projections.analytics.windows import Key, Sums, Window, counted, latencies

FAILING, SLOW_MS, EXPENSIVE_NANO_USD, BUSY_PER_S = 0.05, 5_000, 10_000_000, 1.0
UNCACHED, RETRIED, WASTEFUL = 0.1, 0.05, 0.05
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def usage_drafts(window: Window) -> list[Draft]:
    return [_cost(window), _performance(window), _patterns(window)]


def _patterns(window: Window) -> Draft:
    key, sums = window.key, window.sums
    calls, failures = sums["calls"], failures_of(sums)
    tokens = sums.get("input_tokens", 0) + sums.get("output_tokens", 0)
    cost, p95 = sums.get("cost_nano_usd", 0), percentile_ms(latencies(sums), 0.95)
    cached = share(sums.get("cached_input_tokens", 0), sums.get("input_tokens", 0))
    at = moment(key)
    text = (
        f"{who(key)} made {calls:,} calls to {key.provider}/{key.model} {when(key)}: {failures:,} failed, "
        f"{sums.get('input_tokens', 0):,} tokens in ({cached:.0%} cached), {sums.get('output_tokens', 0):,} out, "
        f"{format_usd(cost)} USD, 95% within {p95:,} ms."
    )
    fields: Fields = {
        "calls": calls,
        "failures": failures,
        "error_rate": share(failures, calls),
        "input_tokens": sums.get("input_tokens", 0),
        "output_tokens": sums.get("output_tokens", 0),
        "cached_share": cached,
        "cost_nano_usd": cost,
        "cost_per_call_nano_usd": cost // calls,
        "latency_p95_ms": p95,
        "hour": at.hour,
        "weekday": _WEEKDAYS[at.weekday()],
    }
    numbers = (
        scaled(calls, 100_000),
        scaled(tokens // calls, 200_000),
        scaled(sums.get("output_tokens", 0) // calls, 20_000),
        scaled(max(cost, 0) // calls, 10**10),
        scaled(max(cost, 0), 10**13),
        share(failures, calls) ** 0.5,
        cached,
        scaled(p95, 120_000),
        share(sums.get("retries", 0), calls) ** 0.5,
        at.hour / 23,
        at.weekday() / 6,
    )
    return carrier(window, text, fields, numbers, _words(key, sums, p95))


def _cost(window: Window) -> Draft:
    key, sums = window.key, window.sums
    calls, cost = sums["calls"], sums.get("cost_nano_usd", 0)
    wasted = sums.get("failure_cost_nano_usd", 0)
    cached = share(sums.get("cached_input_tokens", 0), sums.get("input_tokens", 0))
    efficiency = 1.0 - share(max(wasted, 0), max(cost, 0))
    kind = "retries" if 1 - efficiency >= WASTEFUL else "caching" if cached < UNCACHED else "none"
    fields: Fields = {
        "calls": calls,
        "cost_nano_usd": cost,
        "input_tokens": sums.get("input_tokens", 0),
        "output_tokens": sums.get("output_tokens", 0),
        "cached_input_tokens": sums.get("cached_input_tokens", 0),
        "unpriced_calls": sums.get("unpriced_calls", 0),
        "retries": sums.get("retries", 0),
        "retry_cost_nano_usd": sums.get("retry_cost_nano_usd", 0),
        "paid_failures": sums.get("paid_failures", 0),
        "potential_savings_nano_usd": wasted,
        "efficiency_score": efficiency,
        "optimization_type": kind,
    }
    text = (
        f"{who(key)} paid {format_usd(cost)} USD for {calls:,} calls to {key.provider}/{key.model} {when(key)}, "
        f"{format_usd(wasted)} of it for {sums.get('paid_failures', 0):,} calls without a result; "
        f"{cached:.0%} of the prompt tokens were cached, {sums.get('retries', 0):,} calls were retries."
    )
    numbers = (
        scaled(max(cost, 0), 10**13),
        scaled(max(cost, 0) // calls, 10**10),
        efficiency,
        cached,
        share(sums.get("retries", 0), calls) ** 0.5,
        scaled(sums.get("input_tokens", 0) // calls, 200_000),
        scaled(sums.get("output_tokens", 0) // calls, 20_000),
    )
    words = (*_words(key, sums, 0), kind)
    return Draft(COST, key.id, text, common(key, fields), numbers, words)


def _performance(window: Window) -> Draft:
    key, sums = window.key, window.sums
    calls, failures, buckets = sums["calls"], failures_of(sums), latencies(sums)
    p50, p95, p99 = (percentile_ms(buckets, part) for part in (0.5, 0.95, 0.99))
    fields: Fields = {
        "calls": calls,
        "failures": failures,
        "successes": sums.get("outcome:SUCCESS", 0),
        "error_rate": share(failures, calls),
        "throughput_per_s": calls / key.length_s,
        "latency_ms": sums.get("latency_ms", 0),
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "latency_p99_ms": p99,
        "latency_buckets": json.dumps(buckets, separators=(",", ":")),
    }
    text = (
        f"{key.provider}/{key.model} answered {calls:,} calls of {who(key)} {when(key)}: half within {p50:,} ms, "
        f"95% within {p95:,} ms, 99% within {p99:,} ms; {share(failures, calls):.1%} failed."
    )
    numbers = (
        scaled(p50, 120_000),
        scaled(p95, 120_000),
        scaled(p99, 120_000),
        share(failures, calls) ** 0.5,
        scaled(calls, 100_000),
    )
    said = _words(key, sums, p95)
    return Draft(PERFORMANCE, key.id, text, common(key, fields), numbers, said)


def _words(key: Key, sums: Sums, p95_ms: int) -> tuple[str, ...]:
    """What stands out, in the words that a person would search for."""
    calls, at = sums["calls"], moment(key)
    cached = share(sums.get("cached_input_tokens", 0), sums.get("input_tokens", 0))
    said = {
        "failing": share(failures_of(sums), calls) >= FAILING,
        "slow": p95_ms >= SLOW_MS,
        "expensive": sums.get("cost_nano_usd", 0) >= EXPENSIVE_NANO_USD * calls,
        "uncached": cached < UNCACHED,
        "retried": share(sums.get("retries", 0), calls) >= RETRIED,
        "unpriced": bool(sums.get("unpriced_calls")),
        "busy": calls >= BUSY_PER_S * key.length_s,
        "night": at.hour < 6,
        "weekend": at.weekday() >= 5,
    }
    kinds = [name for name in counted(sums, "outcome") if name != "SUCCESS"]
    return (
        *names(key),
        *kinds,
        *(word for word, holds in said.items() if holds),
        _WEEKDAYS[at.weekday()],
    )
