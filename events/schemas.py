"""The schemas folder: every released version of every event type, by path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

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


def schemas_folder() -> Path:
    """Where the schemas lie: in a wheel beside this file, in a checkout at the top."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


def load_schemas(folder: Path | None = None) -> dict[str, list[SchemaVersion]]:
    """All versions by event folder, oldest first."""
    root = folder or schemas_folder()
    found = {path.name: _versions(path) for path in sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}
    if not found:
        raise SchemaError(f"no schemas in {root}: expected folders like usage_recorded/v1.avsc")
    return found


def _versions(folder: Path) -> list[SchemaVersion]:
    files = sorted(folder.glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    versions = [load_schema(path) for path in files]
    if [version.version for version in versions] != list(range(1, len(versions) + 1)) or not versions:
        raise SchemaError(f"{folder}: versions must run v1.avsc, v2.avsc ... without a gap")
    return versions


def load_schema(path: Path) -> SchemaVersion:
    """One schema file, checked by parsing it."""
    try:
        definition = json.loads(path.read_text())
        return schema_version(path.parent.name, int(path.stem[1:]), definition)
    except (ValueError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise SchemaError(f"{path}: {error}") from error


def schema_version(folder: str, version: int, definition: AvroSchema) -> SchemaVersion:
    """A version from its definition. Its id is a fingerprint, so that folders need no registry to agree on it."""
    canonical = to_parsing_canonical_form(definition)
    schema_id = int(fingerprint(canonical, "SHA-256")[:8], 16) & 0x7FFF_FFFF
    plain = fastavro.parse_schema(_without_logical_types(definition))
    return SchemaVersion(folder, version, definition, plain, schema_id)


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        kept = {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
        return kept["type"] if set(kept) == {"type"} else kept
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
