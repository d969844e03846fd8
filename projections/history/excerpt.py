"""Which events of the history are meant: those of a time, of one tenant or one provider if wished. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

DAY_US = 86_400_000_000
CALLED_AT = "usage_occurred_at"
"""The field of an event that corrects a call: when that happened, microseconds."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Events that happened in [from_us, to_us), microseconds. None: those of every tenant, of every provider."""

    from_us: int
    to_us: int
    tenant: str | None = None
    provider: str | None = None

    @property
    def is_of_all(self) -> bool:
        """Whether it is about everybody: a record that is no event is nobody's."""
        return self.tenant is None and self.provider is None

    def whole_days(self) -> Excerpt:
        """The same up to the ends of its first and last day, UTC: what a rollup by day sums up."""
        return replace(self, from_us=self.from_us // DAY_US * DAY_US, to_us=-(-self.to_us // DAY_US) * DAY_US)

    def days(self) -> Iterator[Excerpt]:
        """One after the other, of whole days."""
        for start_us in range(self.from_us, self.to_us, DAY_US):
            yield replace(self, from_us=start_us, to_us=start_us + DAY_US)

    def happened(self, time_us: int) -> bool:
        """Whether an instant lies within."""
        return self.from_us <= time_us < self.to_us

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is meant, by its fields. What corrects a call belongs to the time of both."""
        called_at = event.get(CALLED_AT)
        return (
            (self.happened(event["occurred_at"]) or (called_at is not None and self.happened(called_at)))
            and self.tenant in (None, event["tenant"])
            and self.provider in (None, event.get("provider"))
        )

    def where(self, time: str, first: int, or_time: str | None = None) -> tuple[str, tuple[object, ...]]:
        """The same as a condition of SQL and its arguments, `first` being the number of the first; `time` is a column, and one of
        both times within is enough.
        """
        asked = {"tenant": self.tenant, "provider": self.provider}
        given = {name: value for name, value in asked.items() if value is not None}
        times = [time] if or_time is None else [time, or_time]
        within = (f"{one} >= {_instant(first)} AND {one} < {_instant(first + 1)}" for one in times)
        conditions = [f"({' OR '.join(within)})"]
        conditions += [f"{name} = ${number}" for number, name in enumerate(given, start=first + 2)]
        return " AND ".join(conditions), (self.from_us, self.to_us, *given.values())


def _instant(number: int) -> str:
    return f"timestamptz 'epoch' + ${number}::bigint * interval '1 microsecond'"
