"""Every version of a schema is read as every other, as the Avro specification resolves them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from events.catalogue import TOPICS
from events.compatibility import incompatibilities
from events.compiled_reader import compile_reader
from events.errors import SchemaError
from events.schema_types import kind_of, named_types
from events.schemas import SchemaVersion, load_schemas, schema_version
from tests.avro_strategies import grown, values_of

SCHEMAS = load_schemas()
PAIRS = [
    pytest.param(writer, reader, id=f"{writer.folder} v{writer.version} as v{reader.version}")
    for versions in SCHEMAS.values()
    for writer in versions
    for reader in versions
]

every_folder = pytest.mark.parametrize("folder", [topic.folder for topic in TOPICS.values()])


def written(schema: Any, values: Any) -> bytes:
    out = BytesIO()
    schemaless_writer(out, schema, values)
    return out.getvalue()


def resolved(writer: SchemaVersion, reader: SchemaVersion, raw: bytes) -> Any:
    """As a general reader resolves it, and as ours does, which has to be the same."""
    ours, end = compile_reader(writer.plain, reader.plain)(raw, 0)
    assert end == len(raw)
    theirs = schemaless_reader(BytesIO(raw), writer.plain, reader.plain)
    assert ours == with_bytes(theirs, reader.plain, named_types(reader.plain))
    return ours


def with_bytes(value: Any, schema: Any, named: dict[str, Any]) -> Any:
    """Fastavro leaves the default of a bytes field the text that it is in the schema."""
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    match kind_of(schema) if not isinstance(schema, list) else "union":
        case "record":
            return {
                one["name"]: with_bytes(value[one["name"]], one["type"], named) for one in schema["fields"]
            }
        case "array":
            return [with_bytes(item, schema["items"], named) for item in value]
        case "bytes" if isinstance(value, str):
            return value.encode("latin-1")
        case _:
            return value


@pytest.mark.parametrize("writer, reader", PAIRS)
@settings(max_examples=30)
@given(data=st.data())
def test_every_released_version_is_read_as_every_other(
    writer: SchemaVersion, reader: SchemaVersion, data: st.DataObject
) -> None:
    """All pairs of writer and reader of each type."""
    values = data.draw(values_of(writer.plain))
    record = resolved(writer, reader, written(writer.plain, values))
    assert list(record) == [one["name"] for one in reader.definition["fields"]]


@every_folder
@settings(max_examples=30)
@given(data=st.data())
def test_a_version_that_may_come_is_read_both_ways(folder: str, data: st.DataObject) -> None:
    """Fields and symbols that come, fields that go, another order: today's code reads tomorrow's events and the reverse."""
    today = SCHEMAS[folder][-1]
    tomorrow = schema_version(folder, 99, data.draw(grown(today.definition)))
    assert incompatibilities([today, tomorrow]) == []
    for writer, reader in ((today, tomorrow), (tomorrow, today)):
        values = data.draw(values_of(writer.plain))
        record = resolved(writer, reader, written(writer.plain, values))
        assert list(record) == [one["name"] for one in reader.definition["fields"]]


def one_field(kind: Any, **more: Any) -> Any:
    return parse_schema({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind, **more}]})


@pytest.mark.parametrize(
    "writer, reader, value, read",
    [
        ("int", "long", 7, 7),
        ("int", "double", 7, 7.0),
        ("long", "double", -(2**40), -float(2**40)),
        ("long", "float", 7, 7.0),
        ("float", "double", 0.5, 0.5),
        ("string", "bytes", "é", "é".encode()),
        ("bytes", "string", "é".encode(), "é"),
        ("string", ["null", "string"], "a", "a"),
        (["null", "int"], ["null", "long"], None, None),
        (["null", "int"], ["null", "double"], 7, 7.0),
        (["null", "int"], ["null", "string", "double", "int"], 7, 7),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "double"}, [1, 2], [1.0, 2.0]),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, {"a": 1}, {"a": 1}),
    ],
)
def test_a_type_is_read_as_one_that_holds_its_values(writer: Any, reader: Any, value: Any, read: Any) -> None:
    """The promotions of the specification."""
    raw = written(one_field(writer), {"a": value})
    record, end = compile_reader(one_field(writer), one_field(reader))(raw, 0)
    assert (record, end) == ({"a": read}, len(raw))
    assert type(record["a"]) is type(read)


@pytest.mark.parametrize(
    "writer, reader",
    [
        ("long", "int"),
        ("string", "int"),
        ("boolean", "int"),
        (["null", "string"], "string"),
        ("string", ["null", "int"]),
        ({"type": "array", "items": "int"}, {"type": "map", "values": "int"}),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, {"type": "enum", "name": "F", "symbols": ["A"]}),
        ({"type": "fixed", "name": "F", "size": 2}, {"type": "fixed", "name": "F", "size": 2}),
    ],
)
def test_what_cannot_be_resolved_is_said_when_the_schema_is_met(writer: Any, reader: Any) -> None:
    """Not for each record, and never by a wrong value."""
    with pytest.raises(SchemaError):
        compile_reader(one_field(writer), one_field(reader))


def test_a_field_without_default_that_was_not_written_is_said() -> None:
    """A reader that asks for more than was written has no answer to make up."""
    empty = parse_schema({"type": "record", "name": "R", "fields": []})
    with pytest.raises(SchemaError, match="a has no default"):
        compile_reader(empty, one_field("int"))


def test_a_default_of_bytes_is_written_as_text() -> None:
    """Each character of it stands for the byte of its number."""
    empty = parse_schema({"type": "record", "name": "R", "fields": []})
    wanted = one_field("bytes", default="\u00ff\u0000a")
    assert compile_reader(empty, wanted)(b"", 0) == ({"a": b"\xff\x00a"}, 0)


def test_a_symbol_of_a_later_schema_is_the_default_or_refused() -> None:
    """With an enum default it is read as that, without one it is an error."""
    later = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
    raw = written(one_field(later), {"a": "B"})
    with_default = one_field({"type": "enum", "name": "E", "symbols": ["A"], "default": "A"})
    assert compile_reader(one_field(later), with_default)(raw, 0)[0] == {"a": "A"}
    without = one_field({"type": "enum", "name": "E", "symbols": ["A"]})
    with pytest.raises(ValueError, match="symbol of a later schema"):
        compile_reader(one_field(later), without)(raw, 0)


def test_blocks_with_their_size_in_bytes_are_read() -> None:
    """Writers that stream give a negative count and a size before the items of a block."""
    array = one_field({"type": "array", "items": "int"})
    raw = b"\x03\x04\x02\x04" + b"\x02\x06" + b"\x00"
    assert compile_reader(array, array)(raw, 0) == ({"a": [1, 2, 3]}, len(raw))
    assert schemaless_reader(BytesIO(raw), array, None) == {"a": [1, 2, 3]}
