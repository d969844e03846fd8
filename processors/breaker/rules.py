"""The rules: after which call a breaker moves, and how long it stays open."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b

from events.breaker_transitioned import BreakerState, TransitionCause
from events.provider_changed import BreakerPolicy, WindowKind
from projections.live.breaker import Breaker
from projections.live.counting import Counting, Figures
from projections.live.window import FAILURE_LETTERS, SUCCESS_LETTERS, Segment

Verdict = tuple[int, TransitionCause]
"""After how many of the calls looked at the breaker moves, and why."""

PRECEDENCE = (TransitionCause.CONSECUTIVE_FAILURES, TransitionCause.FAILURE_RATE, TransitionCause.SLOW_RATE)
"""Which cause is named when several fire at the same call."""


@lru_cache(maxsize=1024)
def exact_ratio(share: float) -> tuple[int, int]:
    """A share as it was written, 0.7 as 7/10: so that 7 of 10 calls reach it, which a float product may miss."""
    ratio = Fraction(str(share))
    return ratio.numerator, ratio.denominator


def admits(state: BreakerState, epoch: int, call_epoch: int | None) -> bool:
    """Whether the outcome of a call that was admitted under `call_epoch` is counted.

    A call that asked no breaker counts as admitted now, but is no probe.
    """
    match state:
        case BreakerState.CLOSED | BreakerState.METRICS_ONLY:
            return call_epoch is None or call_epoch == epoch
        case BreakerState.HALF_OPEN:
            return call_epoch == epoch
        case _:
            return False


def verdict(
    state: BreakerState, counting: Counting, second: int, failed: bool, parts: Sequence[Segment]
) -> Verdict | None:
    """The first of these equal outcomes after which the breaker moves, as if they were applied one by one."""
    match state:
        case BreakerState.CLOSED:
            if counting.policy.window is WindowKind.COUNT:
                return _count_window_verdict(counting, failed, parts)
            return _time_window_verdict(counting, second, failed, parts)
        case BreakerState.HALF_OPEN:
            if failed:
                return 1, TransitionCause.PROBE_FAILED
            wanted = max(1, counting.policy.half_open_permits - counting.calls)
            enough = sum(calls for _, calls in parts) >= wanted
            return (wanted, TransitionCause.PROBES_SUCCEEDED) if enough else None
        case _:
            return None


def _time_window_verdict(
    counting: Counting, second: int, failed: bool, parts: Sequence[Segment]
) -> Verdict | None:
    policy, have = counting.policy, counting.figures()
    joins = 1 if counting.in_window(second) else 0
    calls, failures, slow_calls, streak = (
        have.calls,
        have.failures,
        have.slow_calls,
        have.consecutive_failures,
    )
    passed = 0
    for level, count in parts:
        fails = joins if failed else 0
        slow = joins if level > counting.slow_level else 0
        firsts = (
            max(1, policy.consecutive_failures - streak) if failed else count + 1,
            _first_at(
                failures,
                fails,
                calls,
                joins,
                minimum=policy.minimum_calls,
                ratio=exact_ratio(policy.failure_rate),
            ),
            _first_at(
                slow_calls,
                slow,
                calls,
                joins,
                minimum=policy.minimum_calls,
                ratio=exact_ratio(policy.slow_rate),
            ),
        )
        first = min([at for at in firsts if at is not None])
        if first <= count:
            return passed + first, PRECEDENCE[firsts.index(first)]
        passed += count
        calls += joins * count
        failures += fails * count
        slow_calls += slow * count
        streak = streak + count if failed else 0
    return None


def _first_at(
    hits: int, hit: int, calls: int, joins: int, *, minimum: int, ratio: tuple[int, int]
) -> int | None:
    """Least n >= 1 with calls + n*joins >= minimum and (hits + n*hit) / (calls + n*joins) >= ratio; None: never.

    `joins` and `hit` are what one more call adds, 0 or 1.
    """
    share, whole = ratio
    if not joins:
        return 1 if calls >= minimum and hits * whole >= share * calls else None
    first = max(1, minimum - calls)
    if not hit:
        return first if hits * whole >= share * (calls + first) else None
    missing = share * calls - whole * hits
    if missing <= 0:
        return first
    if whole == share:
        return None
    return max(first, -(-missing // (whole - share)))


def _count_window_verdict(counting: Counting, failed: bool, parts: Sequence[Segment]) -> Verdict | None:
    """Call by call, since each pushes an older one out; after a whole window of equal calls no rate moves any more."""
    policy, have = counting.policy, counting.figures()
    size = policy.window_calls
    minimum = min(policy.minimum_calls, size)
    failures_of, calls_of = exact_ratio(policy.failure_rate)
    slow_of, all_of = exact_ratio(policy.slow_rate)
    slow_letters = SUCCESS_LETTERS[counting.slow_level + 1 :] + FAILURE_LETTERS[counting.slow_level + 1 :]
    tail = counting.recent[-size:]
    calls, failures, slow_calls, streak = (
        have.calls,
        have.failures,
        have.slow_calls,
        have.consecutive_failures,
    )
    passed = 0
    for level, count in parts:
        slow = level > counting.slow_level
        in_a_row = max(1, policy.consecutive_failures - streak) if failed else count + 1
        for n in range(1, min(count, size) + 1):
            if calls == size:
                gone = tail[len(tail) + n - 1 - size]
                failures -= gone in FAILURE_LETTERS
                slow_calls -= gone in slow_letters
            else:
                calls += 1
            failures += failed
            slow_calls += slow
            if n == in_a_row:
                return passed + n, TransitionCause.CONSECUTIVE_FAILURES
            if calls >= minimum and failures * calls_of >= failures_of * calls:
                return passed + n, TransitionCause.FAILURE_RATE
            if calls >= minimum and slow_calls * all_of >= slow_of * calls:
                return passed + n, TransitionCause.SLOW_RATE
        if in_a_row <= count:
            return passed + in_a_row, TransitionCause.CONSECUTIVE_FAILURES
        letters = FAILURE_LETTERS if failed else SUCCESS_LETTERS
        tail = (tail + letters[level] * min(count, size))[-size:]
        passed += count
        streak = streak + count if failed else 0
    return None


def trips_now(breaker: Breaker, policy: BreakerPolicy, clock_us: int) -> int:
    """Trips that the back-off counts still: one less for each `open_for_cap_s` spent CLOSED."""
    if breaker.state is not BreakerState.CLOSED:
        return breaker.trips
    healthy = max(0, clock_us - breaker.since_us) // (policy.open_for_cap_s * 1_000_000)
    return max(0, breaker.trips - healthy)


def open_for_us(policy: BreakerPolicy, trips: int, deployment: str, version: int) -> int:
    """How long transition `version` keeps the breaker open at its `trips`-th trip: doubled each time, capped, jittered.

    The jitter is uniform and follows from deployment and version: deployments that trip together are not probed
    together, and deciding twice gives the same instant.
    """
    wait_us = min(policy.open_for_s << min(max(trips - 1, 0), 32), policy.open_for_cap_s) * 1_000_000
    share, whole = exact_ratio(policy.jitter)
    random = int.from_bytes(blake2b(f"{deployment}#{version}".encode(), digest_size=8).digest(), "big")
    return wait_us + (wait_us * share * random // whole >> 64)


def explain(cause: TransitionCause, seen: Figures, policy: BreakerPolicy) -> str:
    """The rule with its figures, for people."""
    over = f"{policy.window_s} s" if policy.window is WindowKind.TIME else f"{policy.window_calls} calls"
    match cause:
        case TransitionCause.CONSECUTIVE_FAILURES:
            return f"{seen.consecutive_failures} failures in a row (limit {policy.consecutive_failures})"
        case TransitionCause.FAILURE_RATE:
            limit = f"limit {policy.failure_rate:.4g} over {over}"
            return f"{seen.failures} of {seen.calls} calls failed ({limit})"
        case TransitionCause.SLOW_RATE:
            limit = f"limit {policy.slow_rate:.4g} over {over}"
            return (
                f"{seen.slow_calls} of {seen.calls} calls took longer than {policy.slow_call_s} s ({limit})"
            )
        case TransitionCause.OPEN_ELAPSED:
            return "the wait is over: probes may begin"
        case TransitionCause.PROBES_SUCCEEDED:
            return f"all {policy.half_open_permits} probes succeeded"
        case TransitionCause.PROBE_FAILED:
            return "a probe failed"
        case TransitionCause.HALF_OPEN_TIMEOUT:
            return f"no verdict of {policy.half_open_permits} probes within {policy.half_open_max_wait_s} s"
        case TransitionCause.OVERRIDE_EXPIRED:
            return "the override has expired"
        case _:
            return ""
