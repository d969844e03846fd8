"""Avro records written by code that is made for their schema, straight from an event's attributes.

The bytes are those of any other Avro writer: one block for an array or a map, and no block for an empty one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from events.errors import SchemaError
from events.schema_types import kind_of, name_of, named_types

RecordWriter = Callable[[Any, bytearray], None]
"""Appends the record of an object with an attribute, or of a mapping with a key, for each field. Values that do not fit
their type raise TypeError, ValueError, KeyError, AttributeError or struct.error; what was appended by then is of no use."""

Lines = list[str]

_FLOAT = struct.Struct("<f").pack
_DOUBLE = struct.Struct("<d").pack


_SHORT = 1 << 13
"""Integers from 0 to below this one take at most two bytes: they are looked up."""


def compile_writer(schema: Any, *, of_mappings: bool = False) -> RecordWriter:
    """The writer of records of a schema, of objects or of mappings."""
    source = _Source(named_types(schema), "[{!r}]" if of_mappings else ".{}")
    text = "\n".join(["def write(record, out):", *_indented(source.value("record", schema))])
    source.constants |= {"wide": wide, "short": _short_integers(), "float": _FLOAT, "double": _DOUBLE}
    exec(text, source.constants)  # noqa: S102 - whatever a schema brings into the text is written as a literal
    compiled: RecordWriter = source.constants["write"]
    return compiled


@dataclass(slots=True)
class _Source:
    """Statements that append a value to `out`. Variables and constants are told apart by number.

    `access` leads from a record to its field of a name.
    """

    types: dict[str, Any]
    access: str
    constants: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def value(self, name: str, schema: Any) -> Lines:
        """Append what the expression `name` holds."""
        schema = self.types.get(schema, schema) if isinstance(schema, str) else schema
        match kind_of(schema):
            case "record":
                return self._record(name, schema)
            case "enum":
                return self._enum(name, schema)
            case "union":
                return self._union(name, schema)
            case "array" | "map":
                return self._items(name, schema)
            case kind:
                return _primitive(name, kind)

    def _record(self, name: str, schema: Any) -> Lines:
        lines: Lines = []
        for one in schema["fields"]:
            held = self._new("value")
            lines += [f"{held} = {name}{self.access.format(one['name'])}", *self.value(held, one["type"])]
        return lines

    def _enum(self, name: str, schema: Any) -> Lines:
        if len(schema["symbols"]) > 64:
            raise SchemaError(f"{name_of(schema)} has more than 64 symbols: an index no longer fits a byte")
        indexes = self._new("indexes")
        self.constants[indexes] = {symbol: 2 * index for index, symbol in enumerate(schema["symbols"])}
        return [f"out.append({indexes}[{name}])"]

    def _union(self, name: str, schema: list[Any]) -> Lines:
        if len(schema) != 2 or schema[0] != "null":
            raise SchemaError(f"events have no use for the union {', '.join(map(name_of, schema))}")
        some = ["out.append(2)", *self.value(name, schema[1])]
        return [f"if {name} is None: out.append(0)", "else:", *_indented(some)]

    def _items(self, name: str, schema: Any) -> Lines:
        key, item = self._new("key"), self._new("item")
        if kind_of(schema) == "array":
            each = [f"for {item} in {name}:", *_indented(self.value(item, schema["items"]))]
        else:
            both = [*_primitive(key, "string"), *self.value(item, schema["values"])]
            each = [f"for {key}, {item} in {name}.items():", *_indented(both)]
        return [f"if len({name}):", *_indented([f"wide(len({name}) << 1, out)", *each]), "out.append(0)"]

    def _new(self, word: str) -> str:
        self.count += 1
        return f"{word}_{self.count}"


def _primitive(name: str, kind: str) -> Lines:
    match kind:
        case "boolean":
            return [f"out.append(1 if {name} else 0)"]
        case "int" | "long":
            limit = 1 << (31 if kind == "int" else 63)
            return [
                f"if 0 <= {name} < {_SHORT}: out += short[{name}]",
                f"elif {-limit} <= {name} < {limit}: wide(({name} << 1) ^ ({name} >> 63), out)",
                f"else: raise ValueError(f'{{{name}}} does not fit an Avro {kind}')",
            ]
        case "float" | "double":
            return [f"out += {kind}({name})"]
        case "string":
            return [f"raw = {name}.encode()", *_prefixed("raw")]
        case "bytes":
            return _prefixed(name)
    raise SchemaError(f"events have no use for the Avro type {kind}")


def _prefixed(name: str) -> Lines:
    return [f"n = len({name})", "if n < 64: out.append(n << 1)", "else: wide(n << 1, out)", f"out += {name}"]


@cache
def _short_integers() -> list[bytes]:
    """The bytes of each short integer."""
    written = []
    for number in range(_SHORT):
        out = bytearray()
        wide(number << 1, out)
        written.append(bytes(out))
    return written


@cache
def _middle_bytes() -> list[bytes]:
    """Two bytes that more follow, of each fourteen bits."""
    return [bytes((bits & 0x7F | 0x80, bits >> 7 | 0x80)) for bits in range(1 << 14)]


def wide(number: int, out: bytearray) -> None:
    """Append an integer that is in zigzag already, seven bits a byte, the lowest first."""
    if number > 0x3FFF:
        middle = _middle_bytes()
        while number > 0x3FFF:
            out += middle[number & 0x3FFF]
            number >>= 14
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _indented(lines: Lines) -> Lines:
    return ["    " + line for line in lines]
