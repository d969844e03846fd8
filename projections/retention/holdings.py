"""What every store holds, and how far everyone has come: all that a plan is made of. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from events.positions import Partition, PositionVector
from projections.retention.policy import Store
from projections.retention.selection import RefusedSelection, Selection, Span

PlacedSpans = tuple[tuple[int, Span], ...]
"""Spans with the number of their partition, of one topic; there may be several of one partition."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """A projection: which topics it takes, and the next offset of each partition; one without an offset is at 0."""

    name: str
    topics: frozenset[str]
    positions: PositionVector


@dataclass(frozen=True, slots=True)
class Month:
    """A monthly table of the history. Times [begin_us, end_us); a span per partition that covers all of its rows.

    One that `stays` is not of a month: it takes what lies before or after all months, so it is emptied, never dropped. What
    lies after all months is as old as its record.
    """

    topic: str
    table: str
    begin_us: int
    end_us: int
    rows: int
    bytes: int
    spans: PlacedSpans
    packed: bool = False
    stays: bool = False

    @property
    def subject(self) -> str:
        return f"history/{self.table}"

    @property
    def is_late(self) -> bool:
        """Whether it takes what lies after all months: no event has happened then."""
        return self.stays and self.begin_us > 0


@dataclass(frozen=True, slots=True)
class SumsMonth:
    """A monthly table of rollups."""

    table: str
    end_us: int
    rows: int
    bytes: int

    @property
    def subject(self) -> str:
        return f"rollups/{self.table}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed segment of the archive; `last_us` is the newest record's time. One that is not `packed` can be merged.

    `held` is what it surely has: where the log had lost records before they were archived, less than its span.
    """

    place: Partition
    span: Span
    last_us: int
    records: int
    bytes: int
    path: Path
    held: tuple[Span, ...]
    packed: bool = False

    @property
    def subject(self) -> str:
        return f"archive/{self.place}/{self.span.start}"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store `exports` or `leftovers`; its name is relative to `folder`."""

    store: Store
    path: Path
    name: str
    bytes: int
    modified_us: int

    @property
    def subject(self) -> str:
        return f"{self.store}/{self.name}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """`log` is what each partition holds, `log_is_cut` whether the broker can delete records up to an offset.

    `hints` are where workers begin to look for what they have derived before: the log has to go back to there.
    """

    consumers: tuple[Consumer, ...] = ()
    months: tuple[Month, ...] = ()
    segments: tuple[Segment, ...] = ()
    sums: tuple[SumsMonth, ...] = ()
    log: Mapping[Partition, Span] = field(default_factory=dict)
    hints: PositionVector = field(default_factory=dict)
    log_is_cut: bool = True
    has_archive: bool = True
    has_exports: bool = True
    files: tuple[StoredFile, ...] = ()


@dataclass(frozen=True, slots=True)
class CutoffAsked:
    """Of the newest `keep` rows of a topic that the selection takes, when did the oldest occur? None: there are fewer."""

    policy: str
    topic: str
    keep: int
    selection: Selection


@dataclass(frozen=True, slots=True)
class RowsAsked:
    """How many rows of a month does the selection take?"""

    policy: str
    table: str
    selection: Selection


@dataclass(frozen=True, slots=True)
class OffsetAsked:
    """Which is the first record of a topic's partitions that is not older than that time?"""

    policy: str
    topic: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many, and about how many bytes; `first` is the least offset by partition."""

    rows: int
    bytes: int
    first: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedAsked:
    """How many records that were no events are old enough, and how many of them may go?"""

    policy: str
    selection: RefusedSelection


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """All that are old enough with their offsets, and what is taken of them."""

    rows: int
    spans: PlacedSpans
    taken: Counted


@dataclass(frozen=True, slots=True)
class Answers:
    """What the stores said to the questions."""

    cutoffs: Mapping[CutoffAsked, int | None]
    rows: Mapping[RowsAsked, Counted]
    offsets: Mapping[OffsetAsked, Mapping[int, int]]
    refused: Mapping[RefusedAsked, RefusedRows] = field(default_factory=dict)
