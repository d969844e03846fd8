"""Stores in memory: what a plan is made of, answered from rows, and a plan carried out on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from events.positions import Partition
from projections.retention import plan as planning
from projections.retention.condition import Value
from projections.retention.holdings import (
    Answers,
    Consumer,
    Counted,
    CutoffAsked,
    Holdings,
    Month,
    Segment,
    SumsMonth,
)
from projections.retention.policy import Policies
from projections.retention.selection import Span
from projections.retention.steps import (
    AnyStep,
    CutLog,
    DeleteFile,
    DeleteRefused,
    DeleteRows,
    DeleteSegment,
    DropMonth,
    DropSums,
    PackMonth,
    PackSegments,
    Plan,
)

MONTH_US = 30 * 86_400_000_000
ROW_BYTES = 100

Row = Mapping[str, Value | None]


def table_of(row: Row) -> str:
    """Months of the model are thirty days."""
    return f"usage_{int(str(row['occurred_at'])) // MONTH_US}"


@dataclass(frozen=True, slots=True)
class World:
    """All of one topic: rows of the history, the log and the archive's segments by partition, and who has come how far."""

    rows: tuple[Row, ...]
    segments: tuple[Segment, ...]
    log: Mapping[Partition, Span]
    times_us: Mapping[Partition, tuple[int, ...]]
    consumers: tuple[Consumer, ...]
    sums: tuple[SumsMonth, ...] = ()
    hints: Mapping[Partition, int] = field(default_factory=dict)
    log_is_cut: bool = True
    packed: frozenset[str] = frozenset()

    def holdings(self) -> Holdings:
        """As an inventory would find it."""
        return Holdings(
            consumers=self.consumers,
            months=tuple(self._months()),
            segments=self.segments,
            sums=self.sums,
            hints=self.hints,
            log=self.log,
            log_is_cut=self.log_is_cut,
        )

    def _months(self) -> Iterator[Month]:
        for table in sorted({table_of(row) for row in self.rows}):
            rows = [row for row in self.rows if table_of(row) == table]
            begin_us = int(table.removeprefix("usage_")) * MONTH_US
            spans = tuple((number, Span(low, high + 1)) for number, low, high in _spans(rows))
            yield Month(
                "usage",
                table,
                begin_us,
                begin_us + MONTH_US,
                len(rows),
                len(rows) * ROW_BYTES,
                spans,
                packed=table in self.packed,
            )

    def plan(self, policies: Policies, now_us: int) -> Plan:
        """The questions answered, and the plan made of it."""
        holdings = self.holdings()
        cutoffs = {asked: self._cutoff(asked) for asked in planning.cutoffs_asked(policies)}
        answers = Answers(
            cutoffs,
            {
                asked: self._counted(
                    [r for r in self.rows if table_of(r) == asked.table and asked.selection.takes(r)]
                )
                for asked in planning.rows_asked(policies, holdings, now_us, cutoffs)
            },
            {
                asked: {place.number: self._offset_at(place, asked.time_ms * 1000) for place in self.log}
                for asked in planning.offsets_asked(policies, now_us)
            },
        )
        return planning.plan(policies, holdings, answers, now_us)

    def after(self, step: AnyStep) -> World:
        """The stores once the step is carried out."""
        match step:
            case DropMonth():
                return replace(self, rows=tuple(row for row in self.rows if table_of(row) != step.table))
            case DeleteRows():
                left_rows = tuple(
                    row for row in self.rows if table_of(row) != step.table or not step.selection.takes(row)
                )
                return replace(self, rows=left_rows)
            case PackMonth():
                return replace(self, packed=self.packed | {step.table})
            case DropSums():
                return replace(self, sums=tuple(one for one in self.sums if one.table != step.table))
            case DeleteSegment():
                left = tuple(one for one in self.segments if (one.place, one.span) != (step.place, step.span))
                return replace(self, segments=left)
            case CutLog():
                held = Span(max(self.log[step.place].start, step.before), self.log[step.place].end)
                return replace(self, log={**self.log, step.place: held})
            case PackSegments():
                return replace(
                    self,
                    segments=tuple(
                        replace(one, packed=one.packed or one.place == step.place) for one in self.segments
                    ),
                )
            case DeleteFile() | DeleteRefused():
                return self
        assert_never(step)

    def _cutoff(self, asked: CutoffAsked) -> int | None:
        everywhere = replace(asked.selection, spans=tuple((n, Span(0, 10**9)) for n in range(9)))
        times = sorted((int(str(r["occurred_at"])) for r in self.rows if everywhere.takes(r)), reverse=True)
        if len(times) <= asked.keep:
            return None
        return times[asked.keep - 1] if asked.keep else times[0] + 1

    def _offset_at(self, place: Partition, time_us: int) -> int:
        held = self.log[place]
        times = self.times_us[place]
        return next((o for o in range(held.start, held.end) if times[o] >= time_us), held.end)

    @staticmethod
    def _counted(rows: list[Row]) -> Counted:
        first = tuple((number, low) for number, low, _ in _spans(rows))
        return Counted(len(rows), len(rows) * ROW_BYTES, first)


def _spans(rows: list[Row]) -> Iterator[tuple[int, int, int]]:
    for number in sorted({int(str(row["log_partition"])) for row in rows}):
        offsets = [int(str(row["log_offset"])) for row in rows if row["log_partition"] == number]
        yield number, min(offsets), max(offsets)


def segment(place: Partition, start: int, end: int, last_us: int, missing: int = 0) -> Segment:
    """A segment of the model's archive; the log had lost `missing` of its records before it was written."""
    held = Span(start + missing, end)
    return Segment(
        place,
        Span(start, end),
        last_us,
        held.end - held.start,
        (end - start) * ROW_BYTES,
        Path("segment"),
        (held,),
    )
