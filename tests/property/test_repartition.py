"""What is carried into new topics: where records come to lie, and what is said of places, for any events and any numbers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from events.alert_raised import AlertKind, AlertRaised
from events.breaker_transitioned import BreakerTransitioned, TransitionCause
from events.carried import Place, carried_id, is_carried, not_carried, origin_of, with_origin, without_log
from events.dead_lettered import DeadLettered
from events.dead_letters import letter_id_of
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.partitioner import partition_of
from events.reader import Batch, LogReader, LogRecord, Range
from events.routing_decided import RoutingDecided
from events.settings import LogSettings
from processors.repartition.merged import merged
from processors.repartition.placing import placed
from processors.repartition.translate import OF_OPERATORS, Whereabouts, translated
from processors.repartition.whereabouts import Known
from tests.strategies import any_event, events_of

OLD = LogSettings(topic_prefix="old.", partitions=2)
NEW = LogSettings(topic_prefix="new.", partitions=5)
COUNTS = st.integers(1, 12)
PLACES = st.builds(Place, st.integers(0, 9), st.integers(0, 10**12))
HEADERS = st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=4)), max_size=3)


def where(lettered: Place | None = None, shift: int = 0) -> Whereabouts:
    """Of a log whose records with letters lie there, and whose outcomes have moved by so much."""
    return Whereabouts(OLD, NEW, lambda *_: lettered, lambda offset: offset + shift)


@given(st.binary(max_size=12), COUNTS, COUNTS, st.data())
def test_what_lay_right_lies_right_and_what_lay_wrong_lies_wrong(
    key: bytes, old: int, new: int, data: st.DataObject
) -> None:
    """So a record counts in the new log when it counted in the old one."""
    number = data.draw(st.integers(0, old - 1))
    there, its_key = placed(key, key, number, old, new)
    was_right = partition_of(key, old) == number
    assert 0 <= there < new
    assert (its_key == key and partition_of(key, new) == there) == was_right
    assert placed(None, None, number, old, new)[1] is None


@given(HEADERS, PLACES, PLACES)
def test_a_header_says_where_a_record_lay_last(
    headers: list[tuple[str, bytes]], first: Place, last: Place
) -> None:
    """Carried twice, it says the last place; all other headers stay, in their order."""
    once = with_origin(headers, first)
    twice = with_origin(once, last)
    assert (origin_of(once), origin_of(twice)) == (first, last)
    assert not_carried(twice) == not_carried(once) == not_carried(headers)
    assert is_carried(twice)


@given(any_event(), st.integers(0, 9))
def test_only_what_names_places_is_another(event: Event, shift: int) -> None:
    """Whatever the event: it stays valid, keeps its type, and all fields but those that name places."""
    said = translated(event, where(shift=shift))
    back: Event
    assert type(said) is type(event)
    match event:
        case OutcomesObserved():
            assert isinstance(said, OutcomesObserved)
            assert without_log(said.source_topic) == without_log(event.source_topic)
            back = replace(said, event_id=event.event_id, source_topic=event.source_topic)
        case BreakerTransitioned():
            assert isinstance(said, BreakerTransitioned)
            assert said.outcomes_offset == event.outcomes_offset + shift
            back = replace(said, outcomes_offset=event.outcomes_offset, causation_id=event.causation_id)
        case RoutingDecided():
            assert isinstance(said, RoutingDecided)
            assert list(map(without_log, said.known_positions)) == list(
                map(without_log, event.known_positions)
            )
            back = replace(said, known_positions=event.known_positions)
        case AlertRaised(kind=AlertKind.CREDENTIAL_GATE):
            back = replace(said, event_id=event.event_id)
        case _:
            back = said
    assert back == event


@given(events_of(OutcomesObserved), events_of(BreakerTransitioned))
def test_a_cause_is_carried_with_what_it_caused(
    outcomes: OutcomesObserved, event: BreakerTransitioned
) -> None:
    """A transition names the same outcomes as before, or the same override."""
    caused = replace(event, causation_id=outcomes.event_id)
    said = translated(caused, where())
    by_outcomes = event.cause not in OF_OPERATORS
    assert event.cause is not TransitionCause.OVERRIDE_EXPIRED or by_outcomes
    expected = translated(outcomes, where()).event_id if by_outcomes else outcomes.event_id
    assert said.causation_id == expected


@given(events_of(OutcomesObserved))
def test_what_is_carried_twice_is_no_other_logs(event: OutcomesObserved) -> None:
    """The source stays that of the first log; the id is another one each time, and not that of an event of the log between."""
    once = translated(event, where())
    between = Whereabouts(NEW, OLD, lambda *_: None, lambda offset: offset)
    twice, native = translated(once, between), translated(event, between)
    assert isinstance(once, OutcomesObserved)
    assert isinstance(twice, OutcomesObserved)
    assert twice.source_topic == once.source_topic
    assert len({event.event_id, once.event_id, twice.event_id, native.event_id}) == 4


@given(events_of(DeadLettered), PLACES)
def test_a_letter_is_about_the_record_where_it_lies_now(event: DeadLettered, there: Place) -> None:
    """Under the id that the new workers give it; one about a record of another log stays as it is."""
    own = replace(event, topic=OLD.full_name("usage"))
    said = translated(own, where(there))
    assert isinstance(said, DeadLettered)
    assert (said.topic, said.partition, said.offset) == ("new.usage", *there)
    assert said.letter_id == letter_id_of("new.usage", *there)
    assert (said.value, said.key, said.reason) == (own.value, own.key, own.reason)
    assert translated(own, where(None)) == own
    assert carried_id(own.event_id, "old.") != own.event_id


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(0, 45))
def test_a_transition_stays_between_the_outcomes_that_it_lay_between(owners: list[int], offset: int) -> None:
    """Old partition 0 in new partition 1, beside records of others: all before it are before it, all after are after."""
    known, olds = Known(), list[int]()
    for there, owner in enumerate(owners):
        origin = Place(owner, owners[:there].count(owner) * 2)
        known.note("outcomes", origin, Place(1, there))
        olds.append(origin.offset if owner == 0 else -1)
    found = known.outcomes_offset(0, 1, offset)
    assert all((old < offset) == (there < found) for there, old in enumerate(olds) if old >= 0)
    assert 0 <= found <= len(owners)


@dataclass(frozen=True, slots=True)
class MemoryReader:
    """Partitions of timestamps, a few records at a time."""

    partitions: Mapping[int, list[int]]

    async def read(self, _: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """As a LogReader does."""
        for number, asked in wanted.items():
            for first in range(asked.start, asked.end, 3):
                offsets = range(first, min(first + 3, asked.end))
                yield number, [self._record(number, offset) for offset in offsets]

    def _record(self, number: int, offset: int) -> LogRecord:
        timestamp = self.partitions[number][offset]
        return cast("LogRecord", SimpleNamespace(partition=number, offset=offset, timestamp=timestamp))


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=4))
async def test_every_record_meets_its_clock_again(partitions: list[list[int]]) -> None:
    """The order of each partition stays, and the greatest clock so far is each record's own, whatever lies before it."""
    reader = cast("LogReader", MemoryReader(dict(enumerate(partitions))))
    wanted = {number: Range(0, len(times)) for number, times in enumerate(partitions)}
    found: list[Any] = [one async for chunk in merged(reader, "usage", wanted, {}) for one in chunk]
    clocks = [one.clock_ms for one in found]
    assert clocks == sorted(clocks)
    for number, times in enumerate(partitions):
        of_it = [one for one in found if one.record.partition == number]
        assert [one.record.offset for one in of_it] == list(range(len(times)))
        assert [one.clock_ms for one in of_it] == [max(times[: index + 1]) for index in range(len(times))]
