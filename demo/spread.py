"""How fast an outage reached the other gateways: from the publishing of the call that tripped a breaker to each one's
first sight of OPEN. Pure.

The call is found by way of the events themselves: BreakerTransitioned names an OutcomesObserved record, a run in it and
a call of that run; OutcomesObserved names the range of usage records that it sums up; the call is the one at that place
among the deployment's records in the range. Its header says when it was handed to the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from demo.naive import deployment_of
from demo.naive_log import Kept
from demo.outgoing import PUBLISHED_HEADER
from demo.sights import Sights

CAUSED_BY_A_CALL = frozenset({"FAILURE_RATE", "CONSECUTIVE_FAILURES", "SLOW_RATE", "PROBE_FAILED"})


@dataclass(frozen=True, slots=True)
class Trip:
    """One opening of a breaker. `reached_ms` by gateway, the one that published the tripping call left out.

    `fault` names an injected fault that was felt between the call and the last sight. `call_id` is empty when no call tripped it
    (a half-open breaker that waited too long): then there is nothing to measure from.
    """

    deployment: str
    version: int
    cause: str
    occurred_us: int
    call_id: str
    published_us: int
    fault: str
    reached_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class FaultTime:
    """Wall clock from an injected fault to the end of the recovery from it, microseconds."""

    name: str
    start_us: int
    end_us: int


def trips(
    log: Mapping[str, Sequence[Kept]], sights: Mapping[str, Sights], faults: Sequence[FaultTime]
) -> list[Trip]:
    """All transitions to OPEN, by time, with how fast they reached each gateway that saw them."""
    outcomes = {(record.partition, record.offset): record.value for record in log["outcomes"]}
    once: dict[str, Kept] = {}
    for record in log["usage"]:
        once.setdefault(record.value["event_id"], record)
    opened = [record for record in log["breakers"] if record.value["to_state"] == "OPEN"]
    found: dict[str, Trip] = {}
    for record in opened:
        observed = outcomes.get((record.partition, record.value["outcomes_offset"]))
        call = tripping_call(record.value, observed, list(once.values())) if observed else None
        found.setdefault(record.value["event_id"], _trip(record.value, call, sights, faults))
    return sorted(found.values(), key=lambda trip: (trip.occurred_us, trip.deployment, trip.version))


def tripping_call(
    transition: Mapping[str, Any], observed: Mapping[str, Any], usage: Sequence[Kept]
) -> Kept | None:
    """The usage record whose outcome moved the breaker; None when the transition was not an outcome's."""
    runs = observed["runs"]
    place, index = transition["run_calls"], transition["run_index"]
    if transition["cause"] not in CAUSED_BY_A_CALL:
        return None
    if deployment_of(observed) != deployment_of(transition) or index >= len(runs) or place < 1:
        return None
    ahead = sum(run["count"] for run in runs[:index]) + place - 1
    within = range(observed["source_start"], observed["source_end"])
    calls = sorted(
        (
            record
            for record in usage
            if record.partition == observed["source_partition"]
            and record.offset in within
            and deployment_of(record.value) == deployment_of(observed)
        ),
        key=lambda record: record.offset,
    )
    if observed["source_topic"] != "usage" or ahead >= len(calls):
        return None
    call = calls[ahead]
    return call if call.value["outcome"] == runs[index]["kind"] else None


def _trip(
    transition: Mapping[str, Any],
    call: Kept | None,
    sights: Mapping[str, Sights],
    faults: Sequence[FaultTime],
) -> Trip:
    deployment, version = deployment_of(transition), transition["version"]
    published_us = int(call.headers[PUBLISHED_HEADER]) if call else 0
    reached = {
        gateway: (seen[deployment, version] - published_us) / 1000
        for gateway, seen in sorted(sights.items())
        if call and gateway != call.value["source"] and (deployment, version) in seen
    }
    last_us = published_us + int(max(reached.values(), default=0.0) * 1000)
    fault = next((f.name for f in faults if f.start_us <= last_us and published_us <= f.end_us), "")
    return Trip(
        deployment,
        version,
        transition["cause"],
        transition["occurred_at"],
        call.value["event_id"] if call else "",
        published_us,
        fault,
        reached,
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that at least `share` of all do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * share) - 1)]
