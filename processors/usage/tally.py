"""The hot loop: raw usage records to sums by who pays and to runs of outcomes by deployment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from events.carried import is_carried
from events.codec import Codec
from events.dead_letters import Refused
from events.errors import InvalidEventError
from events.reader import LogRecord
from processors.dedupe import SLICE_MS, Seen
from processors.usage.runs import Runs
from processors.usage.soundness import USAGE, Caller, Soundness
from projections.live.period import QUARTER_US
from projections.live.spend import Group

Sums = list[int]
"""cost_nano_usd, calls, input_tokens, output_tokens, unpriced calls."""


@dataclass(slots=True)
class Tally:
    """What the first `records` of a batch of usage come to."""

    records: int = 0
    sums: dict[Group, Sums] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0


def tally(
    records: Sequence[LogRecord],
    codec: Codec,
    soundness: Soundness,
    seen: Seen,
    runs: Runs,
) -> Tally:
    """Sum a batch, or its first records when their outcomes fill `runs`.

    Ids are remembered in `seen`; a record that was seen within the horizon is dropped. A bad record is refused with its
    reason, and the rest goes on. The outcomes of a record that was carried from another log were carried, too.
    """
    result = Tally()
    decode, check, observe = codec.decode_record, soundness.check, runs.observe
    by_quarter: dict[int, dict[Caller, Sums]] = {}
    quarter, callers = -1, dict[Caller, Sums]()
    clock_ms = seen.horizon.clock_ms
    slice_end_ms = (seen.horizon.slice_number + 1) * SLICE_MS
    current, previous = seen.current, seen.previous
    for record in records:
        if runs.bytes_left <= 0:
            break
        result.records += 1
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
        held = callers.get(caller) or callers.setdefault(caller, [0, 0, 0, 0, 0])
        cost = usage["cost_nano_usd"]
        if cost is None:
            held[4] += 1
        else:
            held[0] += cost
        held[1] += 1
        held[2] += usage["input_tokens"]
        held[3] += usage["output_tokens"]
        if not (record.headers and is_carried(record.headers)):
            observe(caller.deployment, usage, record.offset)
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
