"""Looking at Avro types as fastavro parses them: their kinds, their names, the types that they define, their defaults."""

from __future__ import annotations

from typing import Any

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NAMED = ("record", "enum", "fixed")


def kind_of(schema: Any) -> str:
    """`union`, a primitive, `record`, `enum`, `array`, `map`; a reference to a named type is that name."""
    return "union" if isinstance(schema, list) else schema if isinstance(schema, str) else str(schema["type"])


def name_of(schema: Any) -> str:
    """Full name of a named type, else its kind."""
    return str(schema["name"]) if isinstance(schema, dict) and "name" in schema else kind_of(schema)


def short_name_of(schema: Any) -> str:
    """The name without its namespace."""
    return name_of(schema).rpartition(".")[2]


def named_types(schema: Any) -> dict[str, Any]:
    """Every record and enum by its full name, wherever in the schema it is defined."""
    found: dict[str, Any] = {}
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            if part["type"] in NAMED:
                found[part["name"]] = part
            parts += [part[inner] for inner in ("items", "values") if inner in part]
            parts += [one["type"] for one in part.get("fields", ())]
    return found


def default_of(wanted: Any, named: dict[str, Any]) -> Any:
    """The value that a field's default stands for: of a union its first branch counts, and bytes are written as text."""
    kind = wanted["type"][0] if isinstance(wanted["type"], list) else wanted["type"]
    kind = named.get(kind, kind) if isinstance(kind, str) else kind
    default = wanted["default"]
    if kind_of(kind) == "record":
        return {
            part["name"]: default_of(
                {**part, "default": default.get(part["name"], part.get("default"))}, named
            )
            for part in kind["fields"]
        }
    return default.encode("latin-1") if kind_of(kind) == "bytes" else default
