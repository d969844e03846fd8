"""Events to bytes and back: Avro in the Confluent wire format (0x00, four bytes of schema id, the record)."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from events.catalogue import TOPIC_OF_EVENT, TOPICS, Topic
from events.compiled_reader import Record, RecordReader, compile_reader
from events.compiled_writer import RecordWriter, compile_writer
from events.envelope import Event
from events.errors import InvalidEventError, SchemaError
from events.registry import Registry, open_registry
from events.schemas import AvroSchema
from events.settings import LogSettings

HEADER_BYTES = 5

_ADAPTERS: dict[type[Event], TypeAdapter[Any]] = {
    topic.event: TypeAdapter(topic.event) for topic in TOPICS.values()
}


def to_record(value: Any) -> Any:
    """Plain values (dicts, lists, ints, strings) of an event or of a part of one."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_record(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_record(item) for item in value]
    if isinstance(value, dict):
        return {key: to_record(item) for key, item in value.items()}
    return value


def from_record(topic: Topic, record: Record) -> Event:
    """The validated event of plain values; InvalidEventError names the first field that is wrong."""
    try:
        event: Event = _ADAPTERS[topic.event].validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the event"
        raise InvalidEventError(
            "invalid_value", f"{topic.event.__name__}, {place}: {first['msg']}", field=place
        ) from None
    return event


class Codec:
    """Encodes and decodes the events of all topics. Schemas are looked up once and kept."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[type[Event], tuple[bytes, RecordWriter]] = {}
        self._record_writers: dict[type[Event], tuple[bytes, RecordWriter]] = {}
        self._readers: dict[tuple[str, bytes], RecordReader] = {}

    def encode(self, event: Event) -> bytes:
        """Bytes of an event in its topic's newest schema. InvalidEventError when a value does not fit its Avro type;
        whether it makes sense is for `from_record` to say.
        """
        kind = type(event)
        return _written(kind, event, *(self._writers.get(kind) or self._learn_writer(kind)))

    def encode_record(self, topic: Topic, record: Record) -> bytes:
        """The same of an event's plain values, one for each field: the event itself need not be made."""
        kind = topic.event
        return _written(kind, record, *(self._record_writers.get(kind) or self._learn_record_writer(kind)))

    def decode(self, topic: Topic, raw: bytes | None) -> Event:
        """The validated event of a record's value."""
        return from_record(topic, self.decode_record(topic, raw))

    def decode_record(self, topic: Topic, raw: bytes | None) -> Record:
        """Plain values of a record's value, in the shape of the topic's newest schema; values are not checked.

        Raises InvalidEventError for anything but a whole record of this topic's event type.
        """
        if raw is None:
            raise InvalidEventError(
                "no_value", "the record has no value (a tombstone); events are never deleted so"
            )
        header = raw[:HEADER_BYTES]
        read = self._readers.get((topic.name, header)) or self._learn_reader(topic, header)
        try:
            record, end = read(raw, HEADER_BYTES)
        except (ValueError, IndexError, struct.error) as error:
            raise InvalidEventError(
                "bad_avro", f"{topic.event.__name__} of {len(raw)} bytes broke off or is damaged: {error}"
            ) from None
        if end > len(raw):
            raise InvalidEventError("bad_avro", f"{topic.event.__name__} broke off after {len(raw)} bytes")
        if end < len(raw):
            raise InvalidEventError("trailing_bytes", f"{len(raw) - end} bytes follow the record")
        return record

    def newest(self, topic: Topic) -> tuple[bytes, AvroSchema]:
        """How a record of the topic's newest schema begins, and that schema without logical types."""
        schema_id, version = self._registry.newest(topic)
        return b"\0" + schema_id.to_bytes(4, "big"), version.plain

    def _learn_writer(self, event: type[Event]) -> tuple[bytes, RecordWriter]:
        header, schema = self.newest(TOPIC_OF_EVENT[event])
        writer = self._writers[event] = (header, compile_writer(schema))
        return writer

    def _learn_record_writer(self, event: type[Event]) -> tuple[bytes, RecordWriter]:
        header, schema = self.newest(TOPIC_OF_EVENT[event])
        writer = self._record_writers[event] = (header, compile_writer(schema, of_mappings=True))
        return writer

    def _learn_reader(self, topic: Topic, header: bytes) -> RecordReader:
        if len(header) < HEADER_BYTES or header[0] != 0:
            raise InvalidEventError(
                "bad_magic",
                f"expected 0x00 and a schema id, found {header.hex() or 'nothing'}: not the Confluent format",
            )
        schema_id = int.from_bytes(header[1:], "big")
        written = self._registry.find(schema_id)
        if written is None:
            raise InvalidEventError(
                "unknown_schema", f"no schema has the id {schema_id}: register it, then redrive"
            )
        _, newest = self._registry.newest(topic)
        if written.full_name != newest.full_name:
            raise InvalidEventError(
                "wrong_type", f"{written.full_name} on topic {topic.name}, which holds {newest.full_name}"
            )
        try:
            read = compile_reader(written.plain, newest.plain)
        except (SchemaError, RecursionError) as error:
            raise InvalidEventError("incompatible_schema", f"schema {schema_id}: {error}") from None
        self._readers[topic.name, header] = read
        return read


def open_codec(log: LogSettings) -> Codec:
    """The codec of a log: with the ids of its registry, or of the schemas' folder."""
    return Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))


def _written(event: type[Event], values: Any, header: bytes, write: RecordWriter) -> bytes:
    out = bytearray(header)
    try:
        write(values, out)
    except (TypeError, ValueError, KeyError, AttributeError, struct.error) as error:
        raise InvalidEventError(
            "invalid_value", f"{event.__name__} has a value that cannot be written: {error!r}"
        ) from None
    return bytes(out)
