"""A statement while it is put together: its conditions, and the arguments that are bound to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Filters = Mapping[str, str]
"""Column to the value that it must have."""


@dataclass(slots=True)
class Question:
    """Conditions are and'ed."""

    arguments: list[object] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """The placeholder of a value."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def equal(self, filters: Filters) -> None:
        """Each column must have its value."""
        self.conditions += [f"{quoted(column)} = {self.bind(value)}" for column, value in filters.items()]

    def between(self, column: str, start_us: int, end_us: int) -> None:
        """[start_us, end_us). Bounds stand alone, so that whole partitions are left out."""
        self.conditions.append(f"{column} >= {self.bind(start_us)} and {column} < {self.bind(end_us)}")

    @property
    def where(self) -> str:
        """The clause, empty without conditions."""
        return f"where {' and '.join(self.conditions)}" if self.conditions else ""


def quoted(name: str) -> str:
    """A column's name in SQL: `user` is a word of the language."""
    return f'"{name}"'


def listed(columns: Iterable[str]) -> str:
    """Names with commas between."""
    return ", ".join(map(quoted, columns))
