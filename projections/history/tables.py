"""The tables of the history, derived from the newest schemas: one per topic, a column per field.

What the migrations have built is held to this by a test: a new field of a schema needs a migration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.catalogue import TOPICS
from events.schema_types import kind_of, named_types
from events.schemas import load_schemas

LOG_COLUMNS = (
    ("log_partition", "integer"),
    ("log_offset", "bigint"),
    ("appended_at", "timestamp with time zone"),
)
"""After the event's own: where it lies on the log, and the record's timestamp."""

_TYPES = {
    "string": "text",
    "enum": "text",
    "int": "bigint",
    "long": "bigint",
    "float": "double precision",
    "double": "double precision",
    "boolean": "boolean",
    "bytes": "bytea",
}
_BY_NAME = {"event_id": "uuid", "occurred_at": "timestamp with time zone"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its type as PostgreSQL spells it."""

    name: str
    sql_type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one topic. The columns are the event's fields in the order of the schema, then LOG_COLUMNS."""

    name: str
    topic: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def fields(self) -> tuple[Column, ...]:
        """The event's own columns."""
        return self.columns[: -len(LOG_COLUMNS)]


def table_name(topic: str) -> str:
    """Name of the table that holds a topic: `dead-letters` lie in `dead_letters`."""
    return topic.replace("-", "_")


def derive_tables(schemas_folder: Path | None = None) -> dict[str, Table]:
    """The table of every topic, by the topic's short name."""
    schemas = load_schemas(schemas_folder)
    return {
        topic.name: Table(
            table_name(topic.name),
            topic.name,
            (
                *_columns(schemas[topic.folder][-1].plain),
                *(Column(name, sql_type, nullable=False) for name, sql_type in LOG_COLUMNS),
            ),
        )
        for topic in TOPICS.values()
    }


def _columns(schema: Any) -> tuple[Column, ...]:
    named = named_types(schema)
    return tuple(_column(field["name"], field["type"], named) for field in schema["fields"])


def _column(name: str, avro: Any, named: dict[str, Any]) -> Column:
    """Scalars have a type of their own; arrays, maps and records are JSON."""
    branches = avro if isinstance(avro, list) else [avro]
    values = [branch for branch in branches if branch != "null"]
    kinds = [kind_of(named.get(value, value) if isinstance(value, str) else value) for value in values]
    sql_type = _BY_NAME.get(name) or (_TYPES.get(kinds[0], "jsonb") if len(kinds) == 1 else "jsonb")
    return Column(name, sql_type, nullable=len(values) < len(branches))
