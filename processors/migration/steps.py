"""The steps of a migration, and which has to be done before which."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter

from projections.made_with import Projection


class Name(StrEnum):
    """A step; the three in the middle are called as what they build."""

    BACKUP = "backup"
    TOPICS = "topics"
    SCHEMAS = "schemas"
    TABLES = "history tables"
    VERIFY_BEFORE = "verify before"
    LIVE = Projection.LIVE.value
    HISTORY = Projection.HISTORY.value
    ANALYTICS = Projection.ANALYTICS.value
    VERIFY_AFTER = "verify after"


REBUILDS = {Projection(name): name for name in (Name.LIVE, Name.HISTORY, Name.ANALYTICS)}

AFTER: dict[Name, tuple[Name, ...]] = {
    Name.BACKUP: (),
    Name.TOPICS: (Name.BACKUP,),
    Name.SCHEMAS: (Name.BACKUP,),
    Name.TABLES: (Name.BACKUP,),
    Name.VERIFY_BEFORE: (Name.TOPICS, Name.SCHEMAS, Name.TABLES),
    Name.LIVE: (Name.VERIFY_BEFORE,),
    Name.HISTORY: (Name.VERIFY_BEFORE,),
    Name.ANALYTICS: (Name.VERIFY_BEFORE,),
    Name.VERIFY_AFTER: (Name.LIVE, Name.HISTORY, Name.ANALYTICS),
}
"""What a step needs done before it, as far as that is to be done."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, and why."""

    name: Name
    does: str
    why: str


def in_order(steps: Collection[Step]) -> tuple[Step, ...]:
    """Each after all that it needs."""
    by_name = {step.name: step for step in steps}
    return tuple(by_name[name] for name in TopologicalSorter(AFTER).static_order() if name in by_name)
