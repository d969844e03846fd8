"""A selection as the WHERE of a statement: names from the schemas, every value a bound argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from projections.retention.condition import Both, Compare, Condition, Either, IsNull, Not, OneOf, Value
from projections.retention.glob import like
from projections.retention.selection import RefusedSelection, Selection, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Argument = str | int | float | bool | datetime


def instant(time_us: int) -> datetime:
    """Exactly that microsecond, as asyncpg takes it."""
    return _EPOCH + timedelta(microseconds=time_us)


@dataclass(slots=True)
class Where:
    """The text of a WHERE, and its arguments from $1 on."""

    text: str = ""
    arguments: list[Argument] = field(default_factory=list)

    def bound(self, value: Argument, sql_type: str) -> str:
        """The placeholder of a value."""
        self.arguments.append(value)
        return f"${len(self.arguments)}::{sql_type}"


def where_of(selection: Selection) -> Where:
    """True for the rows that `selection.takes`, and never null."""
    where = Where()
    where.text = " and ".join([_spans(selection.spans, where), *_filters(selection, where)])
    return where


def filters_of(selection: Selection) -> Where:
    """As `where_of`, wherever on the log the rows lie."""
    where = Where()
    where.text = " and ".join(_filters(selection, where)) or "true"
    return where


def refused_of(selection: RefusedSelection) -> tuple[Where, str]:
    """True for what is old enough of the table `refused`, and the text that tells of it what lies within the spans."""
    where = Where()
    topic, before = where.bound(selection.topic, "text"), instant(selection.before_us)
    where.text = f"topic = {topic} and appended_at < {where.bound(before, 'timestamptz')}"
    return where, _spans(selection.spans, where)


def _filters(selection: Selection, where: Where) -> list[str]:
    parts = []
    if selection.before_us is not None:
        parts.append(f"occurred_at < {where.bound(instant(selection.before_us), 'timestamptz')}")
    if selection.appended_before_us is not None:
        parts.append(f"appended_at < {where.bound(instant(selection.appended_before_us), 'timestamptz')}")
    if "*" not in selection.tenants:
        parts.append(_like(selection.tenants, where))
    if selection.except_tenants:
        parts.append(f"not {_like(selection.except_tenants, where)}")
    if selection.condition is not None:
        parts.append(f"({_condition(selection.condition, where)}) is true")
    return parts


def _spans(spans: tuple[tuple[int, Span], ...], where: Where) -> str:
    ranges = [
        f"(log_partition = {where.bound(number, 'int')} and log_offset >= {where.bound(span.start, 'bigint')} "
        f"and log_offset < {where.bound(span.end, 'bigint')})"
        for number, span in spans
    ]
    return f"({' or '.join(ranges)})" if ranges else "false"


def _like(globs: tuple[str, ...], where: Where) -> str:
    parts = [f"tenant like {where.bound(like(glob), 'text')}" for glob in globs]
    return f"({' or '.join(parts)})"


def _condition(condition: Condition, where: Where) -> str:
    match condition:
        case Compare(column, sign, value):
            return f'"{column}"{_collate(value)} {sign} {where.bound(value, _type(value))}'
        case OneOf(column, values):
            listed = ", ".join(where.bound(value, _type(value)) for value in values)
            return f'"{column}" in ({listed})'
        case IsNull(column):
            return f'"{column}" is null'
        case Not(inner):
            return f"not ({_condition(inner, where)})"
        case Both(left, right):
            return f"({_condition(left, where)}) and ({_condition(right, where)})"
        case Either(left, right):
            return f"({_condition(left, where)}) or ({_condition(right, where)})"


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "text", int: "bigint", float: "double precision"}[type(value)]


def _collate(value: Value) -> str:
    """Texts are ordered by code point, as Python does, whatever the database's locale."""
    return ' collate "C"' if isinstance(value, str) else ""
