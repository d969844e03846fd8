"""Events to bytes and back: Avro in the Confluent wire format (0x00, four bytes of schema id, the record)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer
from pydantic import TypeAdapter, ValidationError

from events.catalogue import TOPIC_OF_EVENT, TOPICS, Topic
from events.envelope import Event
from events.errors import InvalidEventError
from events.registry import Registry

HEADER_BYTES = 5
Record = dict[str, Any]
RecordReader = Callable[[bytes], Record]

_FIELDS: dict[type, tuple[str, ...]] = {}
_ADAPTERS: dict[type[Event], TypeAdapter[Any]] = {topic.event: TypeAdapter(topic.event) for topic in TOPICS.values()}


def to_record(value: Any) -> Any:
    """Plain values (dicts, lists, ints, strings) of an event or of a part of one."""
    if is_dataclass(value) and not isinstance(value, type):
        names = _FIELDS.get(type(value))
        if names is None:
            names = _FIELDS[type(value)] = tuple(field.name for field in fields(value))
        return {name: to_record(getattr(value, name)) for name in names}
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
        raise invalid_value(topic, error) from None
    return event


def invalid_value(topic: Topic, error: ValidationError) -> InvalidEventError:
    """What was wrong, in one line, from pydantic's first finding."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the event"
    return InvalidEventError("invalid_value", f"{topic.event.__name__}, {place}: {first['msg']}", field=place)


class Codec:
    """Encodes and decodes the events of all topics. Schemas are looked up once and kept."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[str, tuple[bytes, Any]] = {}
        self._readers: dict[tuple[str, bytes], tuple[Any, Any]] = {}

    def encode(self, event: Event) -> bytes:
        """Bytes of an event in its topic's newest schema."""
        return self.encode_record(TOPIC_OF_EVENT[type(event)], to_record(event))

    def encode_record(self, topic: Topic, record: Record) -> bytes:
        """Bytes of plain values that are known to be valid."""
        writer = self._writers.get(topic.name)
        if writer is None:
            schema_id, version = self._registry.newest(topic)
            writer = self._writers[topic.name] = (b"\0" + schema_id.to_bytes(4, "big"), version.plain)
        stream = BytesIO()
        stream.write(writer[0])
        schemaless_writer(stream, writer[1], record)
        return stream.getvalue()

    def decode(self, topic: Topic, raw: bytes | None) -> Event:
        """The validated event of a record's value."""
        return from_record(topic, self.decode_record(topic, raw))

    def decode_record(self, topic: Topic, raw: bytes | None) -> Record:
        """Plain values of a record's value, in the shape of the topic's newest schema; values are not checked.

        Raises InvalidEventError for anything but a whole record of this topic's event type.
        """
        if raw is None:
            raise InvalidEventError("no_value", "the record has no value (a tombstone); events are never deleted so")
        header = raw[:HEADER_BYTES]
        known = self._readers.get((topic.name, header))
        if known is None:
            known = self._learn(topic, header)
        stream = BytesIO(raw)
        stream.seek(HEADER_BYTES)
        try:
            record: Record = schemaless_reader(stream, known[0], known[1])  # type: ignore[assignment]
        except Exception as error:
            raise InvalidEventError(
                "bad_avro", f"{topic.event.__name__} broke off or is damaged at byte {stream.tell()}: {error!r}"
            ) from None
        if stream.tell() != len(raw):
            raise InvalidEventError("trailing_bytes", f"{len(raw) - stream.tell()} bytes follow the record")
        return record

    def _learn(self, topic: Topic, header: bytes) -> tuple[Any, Any]:
        if len(header) < HEADER_BYTES or header[0] != 0:
            raise InvalidEventError(
                "bad_magic", f"expected 0x00 and a schema id, found {header.hex() or 'nothing'}: not the Confluent format"
            )
        schema_id = int.from_bytes(header[1:], "big")
        writer = self._registry.find(schema_id)
        if writer is None:
            raise InvalidEventError("unknown_schema", f"no schema has the id {schema_id}: register it, then redrive")
        if writer.name != topic.event.__name__:
            raise InvalidEventError("wrong_type", f"{writer.name} on topic {topic.name}, which holds {topic.event.__name__}")
        _, newest = self._registry.newest(topic)
        reader = None if newest.schema_id == writer.schema_id else newest.plain
        known = self._readers[topic.name, header] = (writer.plain, reader)
        return known
