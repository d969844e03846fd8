"""Which records count in the analytics: those that count in the live state, also after a restart anywhere."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import OutcomeKind
from events.ids import derived_id
from events.outcomes_observed import OutcomeRun, OutcomesObserved, packed_calls
from events.positions import Partition
from events.settings import LogSettings
from projections.analytics.admission import Admission
from tests.integration.analytics.records import Record, records
from tests.integration.log import CODEC, NOW_US, usage
from tests.reference.accepted import outcomes as that_cover_more
from tests.reference.accepted import tell

LOG = LogSettings(partitions=1)
MINUTE_MS = 60_000

faults = st.sampled_from(["none"] * 8 + ["bytes", "key", "late", "early", "no value"])
steps = st.lists(
    st.tuples(st.integers(0, 12), st.integers(-3, 9), faults, st.booleans()), min_size=1, max_size=40
)


def on_the_log(drawn: list[tuple[int, int, str, bool]]) -> list[Record]:
    """Records with ids that come again, minutes apart, some of them spoilt."""
    made: list[Record] = []
    time_ms = NOW_US // 1000
    for offset, (number, minutes, fault, _) in enumerate(drawn):
        time_ms += minutes * MINUTE_MS
        age_us = {"late": 400 * 86_400_000_000, "early": -2 * 86_400_000_000}.get(fault, 0)
        event = usage(event_id=derived_id("call", number), occurred_at=time_ms * 1000 - age_us)
        [record] = records([event], offset, time_ms * 1000)
        if fault == "bytes":
            record = replace(record, value=b"\0nonsense")
        elif fault == "key":
            record = replace(record, key=b"other")
        elif fault == "no value":
            record = replace(record, value=None)
        made.append(record)
    return made


@given(steps)
def test_the_same_records_count_as_in_the_live_state(drawn: list[tuple[int, int, str, bool]]) -> None:
    """A process may end after any record; the next one reads back what it has to know again."""
    log = on_the_log(drawn)
    place = Partition("usage", 0)
    door, counted = Admission(place, CODEC, LOG), []
    for record, (*_, restarts) in zip(log, drawn, strict=True):
        if door.admit(record) is not None:
            counted.append(record.offset)
        if restarts:
            door = Admission(place, CODEC, LOG, door.since)
            for known in log[door.since : record.offset + 1]:
                door.remember(known)
    assert counted == [offset for offset, _ in tell("usage", log, CODEC, LOG).events]


covers = st.lists(
    st.tuples(st.integers(0, 10), st.integers(1, 5), st.integers(0, 1), st.booleans()), max_size=30
)


@given(covers)
def test_outcomes_that_cover_the_same_calls_count_once(drawn: list[tuple[int, int, int, bool]]) -> None:
    """Whatever their ids: the first that covers an offset has it, and of what covers more, the rest counts if it is told."""
    events = [
        OutcomesObserved(
            event_id=derived_id("outcomes", index),
            occurred_at=NOW_US,
            source="worker",
            tenant="",
            provider="openai",
            model=f"model-{model}",
            source_topic="usage",
            source_partition=0,
            source_start=start,
            source_end=start + length,
            runs=(
                OutcomeRun(
                    kind=OutcomeKind.SUCCESS,
                    count=length,
                    second=NOW_US // 1_000_000,
                    calls=packed_calls((place, 9) for place in range(length)) if tells else b"",
                ),
            ),
        )
        for index, (start, length, model, tells) in enumerate(drawn)
    ]
    log = records(events)
    door = Admission(Partition("outcomes", 0), CODEC, LOG)
    counted = [
        (record.offset, event) for record in log for event in [door.admit(record)] if event is not None
    ]
    told = that_cover_more(tell("outcomes", log, CODEC, LOG))
    assert counted == told
