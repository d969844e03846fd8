"""What is written is read, and by any other Avro implementation too."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from events.catalogue import TOPICS, Topic
from events.codec import HEADER_BYTES, Codec, from_record, to_record
from events.registry import FolderRegistry
from tests.strategies import events_of

REGISTRY = FolderRegistry()
CODEC = Codec(REGISTRY)

every_topic = pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)


def general_reader(topic: Topic, raw: bytes) -> Any:
    return schemaless_reader(BytesIO(raw), REGISTRY.newest(topic)[1].plain, None)


def general_writer(topic: Topic, record: Any) -> bytes:
    out = BytesIO()
    schemaless_writer(out, REGISTRY.newest(topic)[1].plain, record)
    return out.getvalue()


@every_topic
@settings(max_examples=40)
@given(data=st.data())
def test_an_event_comes_back(topic: Topic, data: st.DataObject) -> None:
    """Every valid event of every type, with every value at its bounds, whole and as plain values."""
    event = data.draw(events_of(topic.event))
    raw = CODEC.encode(event)
    assert raw[0] == 0
    assert int.from_bytes(raw[1:HEADER_BYTES], "big") == REGISTRY.newest(topic)[0]
    assert CODEC.decode(topic, raw) == event
    assert CODEC.decode_record(topic, raw) == to_record(event)
    assert from_record(topic, to_record(event)) == event


@every_topic
@settings(max_examples=40)
@given(data=st.data())
def test_the_bytes_are_those_of_a_general_avro_writer(topic: Topic, data: st.DataObject) -> None:
    """Byte for byte, and a general reader reads them."""
    event = data.draw(events_of(topic.event))
    body = CODEC.encode(event)[HEADER_BYTES:]
    assert body == general_writer(topic, to_record(event))
    assert general_reader(topic, body) == to_record(event)
