"""Bytes that were written once are read for ever."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_reader

from events.catalogue import TOPICS, Topic
from events.codec import HEADER_BYTES, Codec, from_record
from events.registry import FolderRegistry
from events.schemas import load_schemas
from tests.golden import names, raw_of, values_of

REGISTRY = FolderRegistry()
SCHEMAS = load_schemas()
TOPIC_OF_FOLDER = {topic.folder: topic for topic in TOPICS.values()}

every_golden = pytest.mark.parametrize("name", names())


def topic_of(name: str) -> Topic:
    return TOPIC_OF_FOLDER[name.partition(".")[0]]


def of_those_fields(value: Any, told: Any) -> Any:
    """The value without the fields that were not told, at any depth."""
    if isinstance(told, dict):
        return {field: of_those_fields(value[field], held) for field, held in told.items()}
    if isinstance(told, list):
        return [of_those_fields(*both) for both in zip(value, told, strict=True)]
    return value


def test_every_version_has_golden_bytes() -> None:
    """A schema version without golden bytes is not released (`python -m tests.golden` writes them from the JSON)."""
    versions = {f"{one.folder}.v{one.version}" for versions in SCHEMAS.values() for one in versions}
    assert versions == set(names())


@every_golden
def test_golden_bytes_are_read(name: str) -> None:
    """Every field says what it said when it was written; fields that came later have their defaults."""
    topic = topic_of(name)
    record = Codec(REGISTRY).decode_record(topic, raw_of(name))
    assert of_those_fields(record, values_of(name)) == values_of(name)
    from_record(topic, record)


@every_golden
def test_golden_bytes_are_written(name: str) -> None:
    """The newest version is written byte for byte as the golden bytes are."""
    topic = topic_of(name)
    if REGISTRY.newest(topic)[1].version == int(name.rpartition(".v")[2]):
        assert Codec(REGISTRY).encode(from_record(topic, values_of(name))) == raw_of(name)


@every_golden
def test_golden_bytes_are_plain_avro(name: str) -> None:
    """A general Avro reader that knows the schema of the id reads the same."""
    raw = raw_of(name)
    written = REGISTRY.find(int.from_bytes(raw[1:HEADER_BYTES], "big"))
    assert written is not None
    assert schemaless_reader(BytesIO(raw[HEADER_BYTES:]), written.plain, None) == values_of(name)
