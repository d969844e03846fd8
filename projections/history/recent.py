"""The ids of events that were written lately: most duplicates come soon, and need not be tried on the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

KEPT = 50_000


@dataclass(slots=True)
class Recent:
    """Ids of one partition, at least the last KEPT of them, in two generations. What is here is committed."""

    current: set[str] = field(default_factory=set)
    previous: set[str] = field(default_factory=set)

    def add(self, ids: Iterable[str]) -> None:
        """Remember what was committed."""
        self.current.update(ids)
        if len(self.current) >= KEPT:
            self.previous, self.current = self.current, set()
