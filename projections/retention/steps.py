"""The steps of a plan: what goes, how, and how much of it. Each is safe to carry out again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from events.ids import derived_id
from events.positions import Partition
from projections.retention.policy import Action, Store
from projections.retention.selection import RefusedSelection, Selection, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done to one subject. `rows` and `bytes` are what it takes, as far as they are known before.

    `first` tells this from an earlier step on a subject of the same name: the least offsets, or a file's time.
    """

    what: ClassVar[str]
    """The verb of the audit's action."""

    policy: str
    action: Action
    subject: str
    rows: int
    bytes: int
    first: tuple[tuple[int, int], ...] = ()

    @property
    def step_id(self) -> str:
        """The same for the same thing done to the same data, whoever plans it and when."""
        return derived_id(f"retention/{self.policy}/{self.what}/{self.subject}", str(self.first))

    @property
    def store(self) -> Store:
        return Store(self.subject.partition("/")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class DropMonth(Step):
    """Detach a whole month and drop it; every row of it is one that the selection takes."""

    what: ClassVar = "drop_month"
    topic: str
    table: str
    selection: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRows(Step):
    """Delete of a month the rows that the selection takes."""

    what: ClassVar = "delete_rows"
    topic: str
    table: str
    selection: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRefused(Step):
    """Delete records of a topic that were no events."""

    what: ClassVar = "delete_refused"
    selection: RefusedSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class PackMonth(Step):
    """Rewrite a month without dead space, its values compressed."""

    what: ClassVar = "pack_month"
    topic: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSums(Step):
    """Detach a whole month of rollups and drop it."""

    what: ClassVar = "drop_sums"
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSegment(Step):
    """Delete the oldest segment of a partition of the archive."""

    what: ClassVar = "delete_segment"
    place: Partition
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSegments(Step):
    """Merge a partition's small segments into larger ones, compressed as the settings say."""

    what: ClassVar = "pack_segments"
    place: Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLog(Step):
    """Have the broker delete the records of a partition before that offset."""

    what: ClassVar = "cut_log"
    place: Partition
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile(Step):
    """Delete a file."""

    what: ClassVar = "delete_file"
    path: Path


AnyStep = (
    DropMonth
    | DeleteRows
    | DeleteRefused
    | PackMonth
    | DropSums
    | DeleteSegment
    | PackSegments
    | CutLog
    | DeleteFile
)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What a policy would take and what must stay, with the reason."""

    policy: str
    subject: str
    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in order, and what is held back."""

    steps: tuple[AnyStep, ...] = ()
    held_back: tuple[HeldBack, ...] = ()

    @property
    def rows(self) -> int:
        return sum(step.rows for step in self.steps)

    @property
    def bytes(self) -> int:
        return sum(step.bytes for step in self.steps)
