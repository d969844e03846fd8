"""Time ranges, and how one is covered exactly: whole days, hours and minutes from the rollups, the edges from the rows."""

from __future__ import annotations

from dataclasses import dataclass

from projections.history.rollups import Grain

_COARSEST_FIRST = (Grain.DAY, Grain.HOUR, Grain.MINUTE)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """[start_us, end_us)."""

    start_us: int
    end_us: int

    @property
    def is_empty(self) -> bool:
        return self.start_us >= self.end_us

    def widened(self, step_us: int) -> Span:
        """Out to full steps on both sides."""
        return Span(self.start_us // step_us * step_us, -(-self.end_us // step_us) * step_us)

    def narrowed(self, step_us: int) -> Span:
        """In to full steps on both sides; empty when there is none within."""
        return Span(-(-self.start_us // step_us) * step_us, self.end_us // step_us * step_us)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a range, summed from the rollups of a grain; from the rows themselves without one."""

    grain: Grain | None
    span: Span


def cover(span: Span) -> list[Piece]:
    """Pieces that tile the range in order, as coarse as can be."""
    return [] if span.is_empty else _cover(span, _COARSEST_FIRST)


def _cover(span: Span, grains: tuple[Grain, ...]) -> list[Piece]:
    if not grains:
        return [Piece(None, span)]
    grain, *finer = grains
    whole = span.narrowed(grain.length_us)
    if whole.is_empty:
        return _cover(span, tuple(finer))
    before, after = Span(span.start_us, whole.start_us), Span(whole.end_us, span.end_us)
    found = [Piece(grain, whole)]
    if not before.is_empty:
        found = _cover(before, tuple(finer)) + found
    if not after.is_empty:
        found += _cover(after, tuple(finer))
    return found
