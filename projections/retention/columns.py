"""Which columns a condition may compare, and with what."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from projections.history.tables import derive_tables
from projections.retention.condition import Compare, Condition, ConditionError, IsNull, OneOf, Value, leaves

_TAKES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "bigint": (int,),
    "boolean": (bool,),
    "double precision": (int, float),
}
_SAID = {
    "text": "a 'text'",
    "bigint": "a whole number",
    "boolean": "true or false",
    "double precision": "a number",
}
MAX_BIGINT = 2**63 - 1


@cache
def comparable_columns(topic: str) -> dict[str, str]:
    """The columns of a topic's table that conditions may name, with their SQL types."""
    fields = derive_tables()[topic].fields
    return {column.name: column.sql_type for column in fields if column.sql_type in _TAKES}


def check(condition: Condition, topics: Collection[str]) -> None:
    """ConditionError unless every column is one of every topic and is compared with what it holds."""
    for topic in topics:
        columns = comparable_columns(topic)
        for leaf in leaves(condition):
            if leaf.column not in columns:
                raise ConditionError(
                    f"{topic} has no column {leaf.column!r} to compare; there are {', '.join(columns)}"
                )
            for value in _values(leaf):
                _check_value(leaf.column, columns[leaf.column], value)


def _values(leaf: Compare | OneOf | IsNull) -> tuple[Value, ...]:
    match leaf:
        case Compare(_, _, value):
            return (value,)
        case OneOf(_, values):
            return values
        case IsNull():
            return ()


def _check_value(column: str, sql_type: str, value: Value) -> None:
    fits = isinstance(value, _TAKES[sql_type]) and isinstance(value, bool) == (sql_type == "boolean")
    if not fits or (sql_type == "bigint" and abs(value) > MAX_BIGINT):  # type: ignore[arg-type] # it is an int
        raise ConditionError(f"{column} is compared with {value!r} and holds {_SAID[sql_type]}")
    if isinstance(value, str) and "\0" in value:
        raise ConditionError(f"{column} is compared with a text that has a zero character")
