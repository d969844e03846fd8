"""The Avro schema of an archived record: where and when it lay on the log, and the event in its writer schema.

A record's value on the log is five bytes of framing and the event's Avro bytes. In the file these stand unchanged as the
nested record `event`, so they are never encoded anew, and `value_bytes` says where they end. The framing is the same for
all events of a file. A value that is no whole event of that schema stands in `value` as it is.
"""

from __future__ import annotations

from typing import Any

from events.schemas import AvroSchema

_TIMES = ("timestamp-millis", "timestamp-micros")


def record_schema(event: AvroSchema) -> AvroSchema:
    """The schema of a file whose events were written with that one.

    Of logical types only times are left: a string that is no UUID must not keep a reader from the whole file.
    """
    return {
        "type": "record",
        "name": "ArchivedRecord",
        "doc": "One record of the log.",
        "fields": [
            {"name": "offset", "type": "long", "doc": "Its place in the partition."},
            {
                "name": "timestamp_ms",
                "type": "long",
                "doc": "The record's time, milliseconds since the epoch.",
            },
            {"name": "value_bytes", "type": "int", "doc": "Length of the value on the log; -1 without one."},
            {"name": "key", "type": ["null", "bytes"]},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "ArchivedHeader",
                        "fields": [
                            {
                                "name": "name",
                                "type": "string",
                                "doc": "Bytes that are not UTF-8 as \\xff, a backslash doubled.",
                            },
                            {"name": "value", "type": ["null", "bytes"]},
                        ],
                    },
                },
            },
            {"name": "event", "type": ["null", with_times_only(event)]},
            {"name": "value", "type": ["null", "bytes"], "doc": "The value as it is where it is no event."},
        ],
    }


def with_times_only(node: Any) -> Any:
    """The schema without logical types but those of times."""
    if isinstance(node, dict):
        return {
            key: with_times_only(value)
            for key, value in node.items()
            if key != "logicalType" or (value in _TIMES and node.get("type") == "long")
        }
    return [with_times_only(item) for item in node] if isinstance(node, list) else node
