"""The schemas folder: every released version of every event type, by path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from events.errors import SchemaError

AvroSchema = dict[str, Any]

_SHIPPED = Path(__file__).parent / "_schemas"
_CHECKOUT = Path(__file__).parent.parent / "schemas"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One released version of one event type. `plain` has no logical types, so that it decodes to ints and strings."""

    folder: str
    version: int
    definition: AvroSchema
    plain: AvroSchema
    schema_id: int

    @property
    def name(self) -> str:
        """Name of the event type, without its namespace."""
        return str(self.definition["name"])

    @property
    def full_name(self) -> str:
        """Name of the event type within its namespace."""
        return str(self.plain["name"])


def schemas_folder() -> Path:
    """Where the schemas lie: in a wheel beside this file, in a checkout at the top."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


def load_schemas(folder: Path | None = None) -> dict[str, list[SchemaVersion]]:
    """All versions by event folder, oldest first."""
    root = folder or schemas_folder()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        raise SchemaError(f"no schemas in {root}: expected folders like usage_recorded/v1.avsc")
    return {path.name: _versions(path) for path in folders}


def _versions(folder: Path) -> list[SchemaVersion]:
    count = len(list(folder.glob("*.avsc")))
    files = [folder / f"v{number}.avsc" for number in range(1, count + 1)]
    if not files or not all(file.exists() for file in files):
        raise SchemaError(f"{folder}: versions must be v1.avsc, v2.avsc ... without a gap, and nothing else")
    return [load_schema(file, number) for number, file in enumerate(files, start=1)]


def load_schema(path: Path, version: int) -> SchemaVersion:
    """One schema file, checked by parsing it."""
    try:
        return schema_version(path.parent.name, version, json.loads(path.read_text()))
    except (ValueError, SchemaError) as error:
        raise SchemaError(f"{path}: {error}") from error


def schema_version(folder: str, version: int, definition: AvroSchema) -> SchemaVersion:
    """A version from its definition. Its id is a fingerprint, so that folders need no registry to agree on it.

    The fingerprint leaves out docs and defaults: they do not change the bytes. SchemaError when it is no Avro record.
    """
    try:
        canonical = to_parsing_canonical_form(definition)
        plain = fastavro.parse_schema(_without_logical_types(definition))
    except (ValueError, KeyError, TypeError, AttributeError, SchemaParseException) as error:
        raise SchemaError(f"not an Avro schema: {error!r}") from error
    if not isinstance(plain, dict) or plain["type"] != "record":
        raise SchemaError("an event's schema is an Avro record")
    schema_id = int(fingerprint(canonical, "SHA-256")[:8], 16) & 0x7FFF_FFFF
    return SchemaVersion(folder, version, definition, plain, schema_id)


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        kept = {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
        return kept["type"] if set(kept) == {"type"} else kept
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
