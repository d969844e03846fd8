"""The event reference for people, written from the schemas: `python -m events.reference docs/events.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from events.catalogue import DAY_MS, FOREVER_MS, TOPICS, Topic
from events.schemas import AvroSchema, SchemaVersion, load_schemas
from events.settings import LogSettings

_HEAD = """# Events

Written by `make docs` from the folder `schemas/`; a change belongs there.

Every fact of Interlock is one of these events. Bytes on the log are Avro in Confluent framing: a zero byte,
the schema's id in four bytes (big-endian), the record. A topic holds one type; its key decides the partition
(murmur2). Times are microseconds since the epoch, UTC; money is a whole number of nano-USD.

A released version is never edited: a new one has to be readable by the old code and the old one by the new
code (FULL_TRANSITIVE), so an added field has a default.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    versions = load_schemas()
    log = LogSettings()
    sections = [_section(topic, log, versions[topic.folder]) for topic in TOPICS.values()]
    return "\n".join([_HEAD, *_overview(log), *sections])


def _overview(log: LogSettings) -> Iterator[str]:
    yield "| event | topic | key | written by | kept |"
    yield "|---|---|---|---|---|"
    for topic in TOPICS.values():
        event = topic.event.__name__
        name = log.full_name(topic.name)
        row = (f"[{event}](#{event.lower()})", f"`{name}`", _key(topic), topic.written_by, _kept(topic))
        yield f"| {' | '.join(row)} |"
    yield ""


def _key(topic: Topic) -> str:
    return topic.key_field.replace("_", " ")


def _kept(topic: Topic) -> str:
    return "for ever" if topic.retention_ms == FOREVER_MS else f"{topic.retention_ms // DAY_MS} days"


def _section(topic: Topic, log: LogSettings, versions: list[SchemaVersion]) -> str:
    newest = versions[-1]
    files = ", ".join(
        f"[v{v.version}](../schemas/{v.folder}/v{v.version}.avsc) (id {v.schema_id})" for v in versions
    )
    place = f"Topic `{log.full_name(topic.name)}`, key: {_key(topic)}, kept {_kept(topic)}."
    lines = [f"## {newest.name}", "", _prose(newest.definition["doc"]), ""]
    lines += [f"{place} Written by: {topic.written_by}. Schema {files}.", ""]
    lines += _table(newest.definition["fields"])
    for named in _named_types(newest.definition["fields"]):
        lines += [f"**{named['name']}**: {_prose(named.get('doc', ''))}", ""]
        lines += _table(named["fields"]) if named["type"] == "record" else [_symbols(named), ""]
    return "\n".join(lines)


def _table(fields: list[AvroSchema]) -> list[str]:
    rows = [
        f"| `{field['name']}` | {_type(field['type'])} | {_default(field)} | {_prose(field.get('doc', ''))} |"
        for field in fields
    ]
    return ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]


def _type(avro: Any) -> str:
    """A type in a word or two: `string or null`, `list of Run`, `timestamp-micros`."""
    if isinstance(avro, str):
        return avro
    if isinstance(avro, list):
        return " or ".join(_type(one) for one in sorted(avro, key=lambda one: one == "null"))
    match avro["type"]:
        case "array":
            return f"list of {_type(avro['items'])}"
        case "map":
            return f"map of {_type(avro['values'])}"
        case "record" | "enum" | "fixed":
            return str(avro["name"])
        case plain:
            return str(avro.get("logicalType", plain))


def _default(field: AvroSchema) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "required"


def _named_types(node: Any) -> Iterator[AvroSchema]:
    """Records and enums defined inside a field, in the order in which they are met."""
    if isinstance(node, list):
        for one in node:
            yield from _named_types(one)
    elif isinstance(node, dict):
        if node.get("type") in ("record", "enum"):
            yield node
        for part in ("type", "items", "values", "fields"):
            yield from _named_types(node.get(part))


def _symbols(enum: AvroSchema) -> str:
    return ", ".join(f"`{symbol}`" for symbol in enum["symbols"]) + "."


def _prose(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
