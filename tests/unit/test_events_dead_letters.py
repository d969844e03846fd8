"""Letters are cut to size, put together again whole, and never lost to what else lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.catalogue import TOPICS
from events.codec import Codec, from_record, to_record
from events.dead_lettered import DeadLettered, LetterStatus
from events.dead_letters import PART_BYTES, Letter, Refused, assemble, letters_of
from events.encoded import Encoded
from events.envelope import MAX_TIME_US
from events.errors import InvalidEventError
from events.header_names import unkept
from events.registry import FolderRegistry
from events.settings import LogSettings

CODEC = Codec(FolderRegistry())
TOPIC = TOPICS["dead-letters"]
SMALLEST = 64 * 2**10


@dataclass(frozen=True)
class Record:
    """A record as a consumer gets it."""

    topic: str = "interlock.usage"
    partition: int = 3
    offset: int = 1042
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"acme"
    value: bytes | None = b"\1nonsense"
    headers: Sequence[tuple[str, bytes]] = (("traceparent", b"00-1"), ("traceparent", b"00-2"))


def letters(record: Record, detail: str = "why", now_us: int = 7) -> list[DeadLettered]:
    return letters_of(Refused(record, InvalidEventError("bad_magic", detail)), "worker", now_us)


def same(letter: Letter, record: Record) -> None:
    """A letter holds all of its record."""
    assert (letter.topic, letter.partition, letter.offset) == (record.topic, record.partition, record.offset)
    assert (letter.key, letter.value) == (record.key, record.value)
    assert unkept(letter.headers) == tuple(record.headers)


def test_a_small_record_is_one_letter_that_people_can_read() -> None:
    """Key, headers and value stand in their fields, with the place and the reason."""
    [event] = letters(Record())
    assert (event.key, event.value, event.packed) == (b"acme", b"\1nonsense", False)
    assert (event.reason, event.detail, event.consumer) == ("bad_magic", "why", "worker")
    assert event.record_time == 1_700_000_000_000_000
    [letter] = assemble([event])
    assert not letter.redriven
    same(letter, Record())


@pytest.mark.parametrize(
    "record",
    [
        Record(key=None),
        Record(value=None),
        Record(key=b"", value=b"", headers=()),
        Record(key=None, value=None, headers=(("x", b""),)),
        Record(value=bytes(PART_BYTES)),
        Record(value=bytes(PART_BYTES + 1)),
        Record(value=b"x" * 20 * 2**20),
        Record(key=b"k" * 2**20),
        Record(key=b"k" * 2**20, value=None),
        Record(headers=(("x" * 100_000, b"y" * 2**20), ("é" * 100_000, b""))),
        Record(headers=tuple((f"h{number}", b"v") for number in range(10_000))),
        Record(key=b"k" * 2**20, headers=(("x", b"y" * 2**20),), value=b"z" * 2**20),
    ],
)
def test_a_record_of_any_size_is_kept_whole(record: Record) -> None:
    """Nothing is cut off: neither of a value of 20 MiB, nor of a key or of headers that large, nor is null made empty."""
    [letter] = assemble(letters(record))
    same(letter, record)


@settings(max_examples=40)
@given(
    key=st.none() | st.binary(max_size=20_000),
    value=st.none() | st.binary(max_size=100_000),
    headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=5_000)), max_size=20),
    detail=st.text(max_size=3_000),
)
def test_every_part_fits_the_log_and_comes_back(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], detail: str
) -> None:
    """Each part is a valid event below the smallest limit that the settings allow."""
    record = Record(key=key, value=value, headers=tuple(headers))
    events = letters(record, detail)
    for event in events:
        raw = CODEC.encode(event)
        assert Encoded(TOPIC.name, event.topic.encode(), raw).size < SMALLEST
        assert CODEC.decode(TOPIC, raw) == event
    [letter] = assemble(events)
    same(letter, record)


def test_the_smallest_limit_is_the_one_that_letters_are_cut_for() -> None:
    """A letter that does not fit would stop the worker that writes it."""
    assert LogSettings(max_event_bytes=SMALLEST).max_event_bytes == SMALLEST
    with pytest.raises(ValueError, match="max_event_bytes"):
        LogSettings(max_event_bytes=SMALLEST - 1)


def test_the_same_record_gives_the_same_ids() -> None:
    """A worker that crashed after writing the letter writes it again: a duplicate and no second letter."""
    first, again = letters(Record(), now_us=7), letters(Record(), now_us=8)
    assert [event.event_id for event in first] == [event.event_id for event in again]
    [letter] = assemble([*first, *again])
    assert letter.occurred_at == 7
    assert {letters(Record(offset=offset))[0].letter_id for offset in range(9)} != {first[0].letter_id}


def test_an_incomplete_letter_is_left_out() -> None:
    """Parts that are still on their way, or that retention took."""
    events = letters(Record(value=bytes(3 * PART_BYTES)))
    assert len(events) == 3
    assert assemble(events[1:]) == []
    assert assemble(events[:2]) == []
    [letter] = assemble(list(reversed(events)))
    same(letter, Record(value=bytes(3 * PART_BYTES)))


def test_letters_of_two_releases_are_not_mixed() -> None:
    """A newer release cuts other parts of the same record: the letter is put together of parts that belong together."""
    newer = letters(Record(value=b"a" * PART_BYTES + b"b"))
    older = [replace(event, parts=3, part=part) for part, event in enumerate([newer[0], newer[0], newer[1]])]
    [letter] = assemble([older[0], *newer, older[1]])
    same(letter, Record(value=b"a" * PART_BYTES + b"b"))


def test_a_redriven_letter_says_so() -> None:
    """By the note that has its id; others are not touched."""
    first, second = letters(Record(offset=1)), letters(Record(offset=2))
    note = replace(first[0], status=LetterStatus.REDRIVEN, value=None, event_id=second[0].event_id)
    assert [letter.redriven for letter in assemble([*first, *second, note])] == [True, False]
    assert assemble([note]) == []


@pytest.mark.parametrize("timestamp, record_time", [(-1, 0), (0, 0), (1, 1000), (2**62, MAX_TIME_US)])
def test_any_timestamp_makes_a_valid_letter(timestamp: int, record_time: int) -> None:
    """None, and one of a producer whose clock is mad."""
    [event] = letters(Record(timestamp=timestamp))
    assert event.record_time == record_time
    assert from_record(TOPIC, to_record(event)) == event


def test_damaged_parts_of_a_packed_letter_are_shown_as_they_are() -> None:
    """One letter that nobody can unpack does not hide the others."""
    [event, *_] = letters(Record(key=b"k" * 10_000, value=b"v"))
    assert event.packed
    [letter] = assemble([replace(event, value=b"\xff\xff", parts=1)])
    assert (letter.key, letter.value) == (None, b"\xff\xff")
