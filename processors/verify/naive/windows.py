"""Windows of the analytics, told naively: each call, decision and check on its own, added up in plain dicts.

The names of the sums are those that the documents carry; the figures behind them are counted here a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from events.breaker_transitioned import BreakerTransitioned
from events.codec import Codec
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.provider_health_checked import ProviderHealthChecked
from events.reader import LogRecord
from events.routing_decided import RoutingDecided
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from processors.verify.naive.sieve import WEEK_MS, Sieve

Subject = tuple[str, int, str, str, str, str]
"""Aspect, first second of the window, tenant, user, provider, model."""

Sums = dict[str, int]
_PROVIDER_FAILED = ("CONNECT_ERROR", "TLS_ERROR", "TIMEOUT", "SERVER_ERROR", "OVERLOADED", "STREAM_CUT")


@dataclass(slots=True)
class NaiveWindow:
    """What a window comes to at the checkpoint, and what each record from there on adds to it.

    `last` is the offset of the last record that the sums have, -1 for none.
    """

    sums: Sums = field(default_factory=dict)
    last: int = -1
    later: list[tuple[int, Sums]] = field(default_factory=list)

    def below(self, offset: int) -> tuple[Sums, int]:
        """The sums with all further records below an offset, and where the last of them lies."""
        sums, last = dict(self.sums), self.last
        for at, part in self.later:
            if at < offset:
                _add(sums, part)
                last = at
        return sums, last


@dataclass(slots=True)
class NaiveWindows:
    """One partition of a topic, record by record. `checkpoint`: below it lies what has to be in the documents."""

    sieve: Sieve
    window_s: int
    checkpoint: int
    windows: dict[Subject, NaiveWindow] = field(default_factory=dict)

    @classmethod
    def of(
        cls, topic: str, codec: Codec, settings: LogSettings, window_s: int, checkpoint: int
    ) -> NaiveWindows:
        """Before the first record."""
        return cls(Sieve(topic, codec, settings), window_s, checkpoint)

    def take(self, record: LogRecord) -> None:
        """The next record."""
        event = self.sieve.take(record)
        if event is None:
            return
        for aspect, second, names, part in told(event):
            subject = (aspect, second // self.window_s * self.window_s, *names)
            window = self.windows.setdefault(subject, NaiveWindow())
            if record.offset < self.checkpoint:
                _add(window.sums, part)
                window.last = record.offset
            else:
                window.later.append((record.offset, part))


Told = tuple[str, int, tuple[str, str, str, str], Sums]
"""Aspect, second, names of whom it tells, and what it adds."""


def told(event: Event) -> Iterator[Told]:
    """What an event has to tell."""
    second = event.occurred_at // 1_000_000
    match event:
        case UsageRecorded():
            yield "usage", second, (event.tenant, event.user or "", event.provider, event.model), _call(event)
        case RoutingDecided():
            yield "routing", second, (event.tenant, "", event.provider, event.model), _decision(event)
        case OutcomesObserved():
            for run in event.runs:
                bad = run.count if str(run.kind) in _PROVIDER_FAILED else 0
                part = {"calls": run.count, "failures": bad, f"outcome:{run.kind}": run.count}
                part[f"calls_of:{event.deployment}"] = run.count
                part[f"failures_of:{event.deployment}"] = bad
                part["latency_ms"] = run.latency_ms_sum
                for index, count in enumerate(run.latency_buckets):
                    if count:
                        part[f"bucket:{index}"] = count
                yield "calls", run.second, ("", "", event.provider, ""), part
        case BreakerTransitioned():
            part = dict.fromkeys(
                (
                    "transitions",
                    f"to:{event.to_state}",
                    f"cause:{event.cause}",
                    f"deployment:{event.deployment}",
                ),
                1,
            )
            yield "breakers", second, ("", "", event.provider, ""), part
        case ProviderHealthChecked():
            part = {"checks": 1, f"status:{event.status}": 1, "latency_ms": round(event.latency_ms or 0)}
            yield "checks", second, ("", "", event.provider, ""), part


def _call(event: UsageRecorded) -> Sums:
    went_well = str(event.outcome) == "SUCCESS"
    part = {
        "calls": 1,
        f"outcome:{event.outcome}": 1,
        f"latency:{_bucket(event.latency_ms)}": 1,
        "latency_ms": event.latency_ms,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cached_input_tokens": event.cached_input_tokens,
        ("unpriced_calls" if event.cost_nano_usd is None else "cost_nano_usd"): (
            1 if event.cost_nano_usd is None else event.cost_nano_usd
        ),
    }
    if event.attempt >= 2:
        part |= {"retries": 1, "retry_cost_nano_usd": event.cost_nano_usd or 0}
    if not went_well and event.cost_nano_usd not in (None, 0):
        part |= {"paid_failures": 1, "failure_cost_nano_usd": event.cost_nano_usd or 0}
    return part


def _decision(event: RoutingDecided) -> Sums:
    part = {
        "decisions": 1,
        f"strategy:{event.strategy}": 1,
        "candidates": len(event.candidates),
        "estimated_cost_nano_usd": event.estimated_cost_nano_usd or 0,
    }
    if event.attempt >= 2:
        part["retries"] = 1
    if event.provider == "":
        part["unroutable"] = 1
    verdicts = [one.verdict for one in event.candidates if one.verdict not in {"chosen", "eligible"}]
    return part | {f"passed_over:{verdict}": verdicts.count(verdict) for verdict in verdicts}


@lru_cache(maxsize=100_000)
def _bucket(latency_ms: int) -> int:
    """Counted up from 0: a bucket ends 5% above the one before, and at least 1 ms."""
    index, top = 0, 0
    while top < min(latency_ms, WEEK_MS):
        index, top = index + 1, max(top + 1, top + top // 20)
    return index


def _add(sums: Sums, part: Sums) -> None:
    for name, amount in part.items():
        sums[name] = sums.get(name, 0) + amount
