"""Whatever bytes come, decoding gives a valid event or InvalidEventError, at a cost bounded by their length."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import TOPICS, Topic
from events.codec import HEADER_BYTES, Codec
from events.errors import InvalidEventError
from events.registry import FolderRegistry
from tests.golden import raw_of

CODEC = Codec(FolderRegistry())

every_topic = pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)


def judge(topic: Topic, raw: bytes) -> None:
    """Decode; what is accepted is an event like any other."""
    try:
        event = CODEC.decode(topic, raw)
    except InvalidEventError:
        return
    assert CODEC.decode(topic, CODEC.encode(event)) == event


@given(raw=st.binary(max_size=200))
def test_random_bytes_are_refused(raw: bytes) -> None:
    """Nothing that is not framed passes."""
    judge(TOPICS["usage"], raw)


@every_topic
@given(body=st.binary(max_size=400))
def test_random_bytes_after_a_known_id_are_refused(topic: Topic, body: bytes) -> None:
    """The frame is right and the rest is noise."""
    judge(topic, raw_of(f"{topic.folder}.v1")[:HEADER_BYTES] + body)


@every_topic
@given(data=st.data())
def test_damaged_events_are_refused_or_still_events(topic: Topic, data: st.DataObject) -> None:
    """Bytes of a real event overwritten, cut out, put in."""
    raw = bytearray(raw_of(f"{topic.folder}.v1"))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(HEADER_BYTES, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 4)))
        raw[start:end] = data.draw(st.binary(max_size=12))
    judge(topic, bytes(raw))


HOSTILE = {
    "a string of 2^62 bytes": b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x00",
    "lengths of -1": b"\x01",
    "a number without an end": b"\x80",
    "empty strings": b"\x00",
    "counts of 2^30": b"\x80\x80\x80\x80\x08",
    "negative counts": b"\xff\xff\xff\xff\x0f",
}


@every_topic
@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_cost_no_more_than_their_length(topic: Topic, pattern: bytes) -> None:
    """Bytes that promise more than they hold are given up within a small multiple of their size."""
    body = (pattern * 2**16)[: 2**16]
    raw = raw_of(f"{topic.folder}.v1")
    for start in range(HEADER_BYTES, len(raw), 61):
        tracemalloc.start()
        try:
            with pytest.raises(InvalidEventError):
                CODEC.decode(topic, raw[:start] + body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 64 * len(body)
