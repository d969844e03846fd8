"""A projection as a migration deals with it: what it was made with, which one is live, built anew, and put back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from processors.migration.canary import Canary
from projections.live.digest import Comparison
from projections.made_with import MadeWith, Projection

NAMED = 3

Moved = Callable[[int, int, int], None]
"""Is called with (done, total, done by this run)."""


@dataclass(frozen=True, slots=True)
class Work:
    """How a rebuild goes, and who is told of it."""

    canary: Canary
    told: Callable[[str], None]
    moved: Moved
    max_events_per_s: int | None = None
    skips_bad: bool = False
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rebuild has to read."""

    records: int
    took_s: float


def named(comparison: Comparison) -> str:
    """The first of what differs."""
    return "; ".join(map(str, comparison.differences[:NAMED]))


class Place(Protocol):
    """One of them, where it is stored."""

    @property
    def projection(self) -> Projection: ...

    @property
    def folders(self) -> Collection[str]:
        """The event types that it is made of, by the folders of their schemas."""
        ...

    async def made_with(self) -> Collection[MadeWith]:
        """What the parts of the live one that hold anything were begun with."""
        ...

    async def identity(self) -> str:
        """Which one is live now."""
        ...

    async def estimate(self, archive: Path | None) -> Estimate:
        """What a rebuild has to read now. Raises what forbids it."""
        ...

    async def rebuild(self, work: Work) -> Mapping[str, Any]:
        """Build it anew, try it, make it live; figures of it. What another release has begun is not gone on with."""
        ...

    async def turn_back(self, before: str) -> int:
        """Make that one live again, which was so before the last rebuild; how many records it is behind."""
        ...
