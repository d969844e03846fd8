"""Hypothesis strategies for Avro: values of a schema, and schemas that have grown by the rules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from events.schema_types import kind_of, named_types

_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=80),
    "string": st.text(max_size=6) | st.just("é" * 40),
}


def values_of(schema: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Values that can be written with a parsed schema; they need make no sense."""
    known = named_types(schema) if named is None else named
    schema = known.get(schema, schema) if isinstance(schema, str) else schema
    match kind_of(schema):
        case "union":
            return st.one_of([values_of(branch, known) for branch in schema])
        case "record":
            return st.fixed_dictionaries(
                {one["name"]: values_of(one["type"], known) for one in schema["fields"]}
            )
        case "enum":
            return st.sampled_from(schema["symbols"])
        case "array":
            return st.lists(values_of(schema["items"], known), max_size=3)
        case "map":
            return st.dictionaries(st.text(max_size=4), values_of(schema["values"], known), max_size=3)
        case simple:
            return _SIMPLE[simple]


Growth = Callable[[Any], None]


def _adding(name: str, kind: Any, default: Any) -> Growth:
    def grow(schema: Any) -> None:
        new = {"name": name, "type": kind, "doc": "New.", "default": default}
        schema["fields"].append(copy.deepcopy(new))

    return grow


def _dropping(number: int) -> Growth:
    def grow(schema: Any) -> None:
        with_default = [one for one in schema["fields"] if "default" in one and _defines_nothing(one["type"])]
        if with_default:
            schema["fields"].remove(with_default[number % len(with_default)])

    return grow


def _defines_nothing(kind: Any) -> bool:
    """Whether later fields cannot refer to a type that is defined here."""
    return not named_types({"type": "record", "name": "x", "fields": [{"type": kind}]}).keys() - {"x"}


def _adding_a_symbol(schema: Any) -> None:
    for named in named_types(schema).values():
        if named["type"] == "enum":
            named["symbols"].append("BRAND_NEW")


def _reordering(schema: Any) -> None:
    first, *rest = schema["fields"]
    schema["fields"][:] = [*rest, first] if _defines_nothing(first["type"]) else schema["fields"]


_NEW_ENUM = {"type": "enum", "name": "NewKind", "doc": "New.", "symbols": ["A", "B"], "default": "A"}
_NEW_RECORD = {
    "type": "record",
    "name": "NewPart",
    "doc": "New.",
    "fields": [
        {"name": "x", "type": "int", "doc": "X."},
        {"name": "y", "type": "string", "doc": "Y.", "default": "é"},
    ],
}
GROWTHS: tuple[Growth, ...] = (
    _adding("new_text", "string", "dflt 'quoted' \"é\""),
    _adding("new_count", "long", -(2**62)),
    _adding("new_share", "double", 0.25),
    _adding("new_flag", "boolean", True),
    _adding("new_nullable", ["null", "string"], None),
    _adding("new_list", {"type": "array", "items": "int"}, [1, 2]),
    _adding("new_map", {"type": "map", "values": "string"}, {"a": "b"}),
    _adding("new_enum", _NEW_ENUM, "B"),
    _adding("new_part", _NEW_RECORD, {"x": 7, "y": "z"}),
    _adding("new_parts", ["null", {"type": "array", "items": {**_NEW_RECORD, "name": "OtherPart"}}], None),
    _adding_a_symbol,
    _reordering,
    *(_dropping(number) for number in range(8)),
)


@st.composite
def grown(draw: st.DrawFn, definition: Any) -> Any:
    """A later version of a schema that is compatible both ways."""
    schema = copy.deepcopy(definition)
    for grow in draw(st.lists(st.sampled_from(GROWTHS), max_size=5, unique=True)):
        grow(schema)
    return schema
