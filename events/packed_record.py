"""A record of the log as one string of bytes, for a dead letter whose key and headers are too large to stand in its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from events.compiled_reader import compile_reader
from events.compiled_writer import compile_writer
from events.dead_lettered import RecordHeader
from events.schemas import schema_version

_SCHEMA = schema_version(
    "packed_record",
    1,
    {
        "type": "record",
        "name": "PackedRecord",
        "namespace": "interlock.events",
        "fields": [
            {"name": "key", "type": ["null", "bytes"]},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "RecordHeader",
                        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "bytes"}],
                    },
                },
            },
            {"name": "value", "type": ["null", "bytes"]},
        ],
    },
).plain
_READ = compile_reader(_SCHEMA, _SCHEMA)
_WRITE = compile_writer(_SCHEMA)


@dataclass(frozen=True, slots=True)
class PackedRecord:
    """What a record says, without its place."""

    key: bytes | None
    headers: Sequence[RecordHeader]
    value: bytes | None

    def pack(self) -> bytes:
        """As one string of bytes."""
        out = bytearray()
        _WRITE(self, out)
        return bytes(out)


def unpack(raw: bytes) -> PackedRecord:
    """The record of its bytes; bytes that are none of `pack` are taken for the record's value."""
    try:
        record, end = _READ(raw, 0)
    except (ValueError, IndexError):
        return PackedRecord(None, (), raw)
    if end != len(raw):
        return PackedRecord(None, (), raw)
    headers = tuple(RecordHeader(name=header["name"], value=header["value"]) for header in record["headers"])
    return PackedRecord(record["key"], headers, record["value"])
