"""The hot loop: raw usage records to sums by who pays and to runs of outcomes by deployment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from events.codec import Codec
from events.dead_letters import Refused
from events.envelope import MAX_LONG, OutcomeKind
from events.errors import InvalidEventError
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, latency_bucket
from events.reader import LogRecord
from processors.dedupe import SLICE_MS, Seen
from processors.usage.soundness import USAGE, Caller, Deployment, Soundness, Usage
from projections.live.period import QUARTER_US
from projections.live.spend import Group

Sums = list[int]
"""cost_nano_usd, calls, input_tokens, output_tokens, unpriced calls."""


class RunBuilder:
    """An OutcomeRun while it grows."""

    __slots__ = ("buckets", "count", "epoch", "gate_until", "kind", "last_error", "latency_ms_sum", "second")

    def __init__(self, kind: str, second: int, epoch: int | None) -> None:
        self.kind = kind
        self.second = second
        self.epoch = epoch
        self.count = 0
        self.latency_ms_sum = 0
        self.buckets = [0] * LATENCY_BUCKETS
        self.gate_until: int | None = None
        self.last_error: str | None = None

    def build(self) -> OutcomeRun:
        """The finished run."""
        return OutcomeRun(
            kind=OutcomeKind(self.kind),
            count=self.count,
            second=self.second,
            breaker_epoch=self.epoch,
            latency_ms_sum=self.latency_ms_sum,
            latency_buckets=tuple(self.buckets),
            gate_until=self.gate_until,
            last_error=self.last_error,
        )


@dataclass(slots=True)
class Tally:
    """What a batch of usage records comes to."""

    sums: dict[Group, Sums] = field(default_factory=dict)
    runs: dict[Deployment, list[RunBuilder]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0


def tally(
    records: Sequence[LogRecord],
    codec: Codec,
    soundness: Soundness,
    seen: Seen,
    observed_below: Mapping[Deployment, int],
) -> Tally:
    """Sum a batch. Ids are remembered in `seen`; a record that was seen within the horizon is dropped.

    `observed_below` says up to which offset the outcomes of a deployment are on the log already (after a loss of live
    state): those are not derived again. A bad record is refused with its reason, and the rest goes on.
    """
    result = Tally()
    decode, check = codec.decode_record, soundness.check
    runs = result.runs
    by_quarter: dict[int, dict[Caller, Sums]] = {}
    quarter, callers = -1, dict[Caller, Sums]()
    clock_ms = seen.horizon.clock_ms
    slice_end_ms = (seen.horizon.slice_number + 1) * SLICE_MS
    current, previous = seen.current, seen.previous
    for record in records:
        if record.timestamp > clock_ms:
            clock_ms = record.timestamp
            if clock_ms >= slice_end_ms:
                seen.turn(clock_ms, record.offset)
                current, previous = seen.current, seen.previous
                slice_end_ms = (seen.horizon.slice_number + 1) * SLICE_MS
        try:
            usage = decode(USAGE, record.value)
            caller = check(usage, record)
        except InvalidEventError as error:
            result.refused.append(Refused(record, error))
            continue
        event_id = usage["event_id"]
        if event_id in current or event_id in previous:
            current.add(event_id)
            result.duplicates += 1
            continue
        current.add(event_id)
        number = usage["occurred_at"] // QUARTER_US
        if number != quarter:
            quarter = number
            callers = by_quarter.setdefault(number, {})
        held = callers.get(caller)
        if held is None:
            held = callers[caller] = [0, 0, 0, 0, 0]
        cost = usage["cost_nano_usd"]
        if cost is None:
            held[4] += 1
        else:
            held[0] += cost
        held[1] += 1
        held[2] += usage["input_tokens"]
        held[3] += usage["output_tokens"]
        deployment = caller.deployment
        if not observed_below or record.offset >= observed_below.get(deployment, 0):
            _observe(runs, deployment, usage)
    seen.at(clock_ms)
    result.sums = _by_payer(by_quarter)
    return result


def _by_payer(by_quarter: Mapping[int, Mapping[Caller, Sums]]) -> dict[Group, Sums]:
    """The same, of callers who pay together."""
    groups: dict[Group, Sums] = {}
    for number, callers in by_quarter.items():
        for caller, sums in callers.items():
            group = (caller.payer, number)
            held = groups.get(group)
            groups[group] = (
                sums if held is None else [one + other for one, other in zip(held, sums, strict=True)]
            )
    return groups


def _observe(runs: dict[Deployment, list[RunBuilder]], deployment: Deployment, usage: Usage) -> None:
    kind, epoch = usage["outcome"], usage["breaker_epoch"]
    second = usage["occurred_at"] // 1_000_000
    held = runs.get(deployment)
    if held is None:
        held = runs[deployment] = []
    if held and (last := held[-1]).kind == kind and last.second == second and last.epoch == epoch:
        run = last
    else:
        run = RunBuilder(kind, second, epoch)
        held.append(run)
    run.count += 1
    latency_ms = usage["latency_ms"]
    run.latency_ms_sum += latency_ms
    run.buckets[latency_bucket(latency_ms)] += 1
    if kind != "SUCCESS":
        if usage["error"] is not None:
            run.last_error = usage["error"][:1000]
        if kind == "RATE_LIMITED" and usage["retry_after_ms"] is not None:
            until = min(usage["occurred_at"] + usage["retry_after_ms"] * 1000, MAX_LONG)
            run.gate_until = until if run.gate_until is None else max(run.gate_until, until)
