"""Runs of outcomes by deployment, as a batch of usage shows them. Pure."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from events.envelope import MAX_LONG, OutcomeKind
from events.outcomes_observed import (
    LATENCY_BUCKETS,
    OutcomeRun,
    latency_bucket,
    packed_calls,
    unpacked_calls,
)
from processors.usage.soundness import Deployment, Usage

EVENT_BYTES, RUN_BYTES, CALL_BYTES, UTF8_BYTES = 4_096, 128, 8, 4
"""What an OutcomesObserved takes beside its runs, a run beside its error and calls, a call, a character; the most of each."""

MAX_ERROR = 1_000


class RunBuilder:
    """An OutcomeRun while it grows."""

    __slots__ = (
        "buckets",
        "calls",
        "count",
        "epoch",
        "gate_until",
        "kind",
        "last_error",
        "latency_ms_sum",
        "second",
    )

    def __init__(self, kind: str, second: int, epoch: int | None) -> None:
        self.kind = kind
        self.second = second
        self.epoch = epoch
        self.count = 0
        self.latency_ms_sum = 0
        self.buckets = [0] * LATENCY_BUCKETS
        self.gate_until: int | None = None
        self.last_error: str | None = None
        self.calls = array("I")

    def build(self, skipped: int) -> OutcomeRun:
        """The finished run of an event that begins `skipped` offsets after the batch."""
        if sys.byteorder == "big":
            self.calls.byteswap()
        calls = self.calls.tobytes()
        if skipped:
            calls = packed_calls(
                (offset - skipped, latency_ms) for offset, latency_ms in unpacked_calls(calls)
            )
        return OutcomeRun(
            kind=OutcomeKind(self.kind),
            count=self.count,
            second=self.second,
            breaker_epoch=self.epoch,
            latency_ms_sum=self.latency_ms_sum,
            latency_buckets=tuple(self.buckets),
            gate_until=self.gate_until,
            last_error=self.last_error,
            calls=calls,
        )


@dataclass(slots=True)
class Runs:
    """The runs of a batch by deployment. `start` is the batch's first offset.

    `observed_below` says up to which offset the outcomes of a deployment are on the log already (after a loss of live
    state): those are not observed again. When no `bytes_left`, the events of the runs are surely no larger than it was.
    """

    bytes_left: int
    start: int
    observed_below: Mapping[Deployment, int] = field(default_factory=dict)
    by_deployment: dict[Deployment, list[RunBuilder]] = field(default_factory=dict)

    def observe(self, deployment: Deployment, usage: Usage, offset: int) -> None:
        """Add the outcome of the usage record at an offset."""
        if self.observed_below and offset < self.observed_below.get(deployment, 0):
            return
        kind, epoch = usage["outcome"], usage["breaker_epoch"]
        second = usage["occurred_at"] // 1_000_000
        held = self.by_deployment.get(deployment)
        if held is None:
            held = self.by_deployment[deployment] = []
            self.bytes_left -= EVENT_BYTES
        if held and (last := held[-1]).kind == kind and last.second == second and last.epoch == epoch:
            run = last
        else:
            run = RunBuilder(kind, second, epoch)
            held.append(run)
            self.bytes_left -= RUN_BYTES
        run.count += 1
        latency_ms = usage["latency_ms"]
        run.calls.append(offset - self.start)
        run.calls.append(latency_ms)
        self.bytes_left -= CALL_BYTES
        run.latency_ms_sum += latency_ms
        run.buckets[latency_bucket(latency_ms)] += 1
        if kind != "SUCCESS":
            if usage["error"] is not None:
                error = usage["error"][:MAX_ERROR]
                self.bytes_left -= UTF8_BYTES * (len(error) - len(run.last_error or ""))
                run.last_error = error
            if kind == "RATE_LIMITED" and usage["retry_after_ms"] is not None:
                until = min(usage["occurred_at"] + usage["retry_after_ms"] * 1000, MAX_LONG)
                run.gate_until = until if run.gate_until is None else max(run.gate_until, until)
