"""What the questions to the history are put together from: ranges, cursors, merged sketches."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.errors import InvalidCursorError
from projections.history.queries.latencies import SHARES, latencies
from projections.history.queries.page import Listing, Mark, Order, cursor_after, resume
from projections.history.queries.span import Span, cover
from projections.history.sketch import bucket_of, decode, encode, percentiles

TIMES = st.integers(0, 4_102_444_800_000_000)
SPANS = st.tuples(TIMES, TIMES).map(lambda ends: Span(min(ends), max(ends)))
NEAR = st.tuples(TIMES, st.integers(0, 3 * 86_400_000_000)).map(lambda at: Span(at[0], at[0] + at[1]))
LATENCIES = st.lists(st.lists(st.integers(0, 604_800_000), max_size=40), max_size=6)
FILTERS = st.dictionaries(st.sampled_from(["tenant", "provider", "user"]), st.text(min_size=1, max_size=9))


@given(SPANS | NEAR)
def test_pieces_tile_the_range_exactly(span: Span) -> None:
    """In order, without gap or overlap, each at full steps of its grain, and rows only at the edges."""
    pieces = cover(span)
    if span.is_empty:
        assert pieces == []
        return
    assert (pieces[0].span.start_us, pieces[-1].span.end_us) == (span.start_us, span.end_us)
    assert all(one.span.end_us == other.span.start_us for one, other in pairwise(pieces))
    for piece in pieces:
        assert not piece.span.is_empty
        if piece.grain is not None:
            assert piece.span.start_us % piece.grain.length_us == 0
            assert piece.span.end_us % piece.grain.length_us == 0
    assert all(piece.grain is not None for piece in pieces[1:-1])
    assert len(pieces) <= 7


@given(LATENCIES)
def test_percentiles_of_many_sketches_are_those_of_each(groups: list[list[int]]) -> None:
    """All at once with numpy as one by one, also when a sketch is several written one after the other."""
    merged = [b"".join(encode({bucket_of(latency): 1}) for latency in group) for group in groups]
    for sketch, found in zip(merged, latencies(merged), strict=True):
        expected = percentiles(decode(sketch), SHARES)
        told = [None] * 4 if found is None else [found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms]
        assert told == pytest.approx(expected)


@given(NEAR, st.sampled_from(Order), TIMES, st.uuids(), FILTERS)
def test_a_cursor_continues_its_own_question(
    span: Span, order: Order, at_us: int, event_id: object, filters: dict[str, str]
) -> None:
    """With the range and order of the first page; with other filters it is refused."""
    mark = Mark(at_us, str(event_id))
    listing = Listing("usage", filters, span, order)
    cursor = cursor_after(listing, mark)
    assert resume(cursor, "usage", filters) == Listing("usage", filters, span, order, mark)
    with pytest.raises(InvalidCursorError, match="other filters"):
        resume(cursor, "usage", filters | {"model": "another"})
    with pytest.raises(InvalidCursorError, match="other filters"):
        resume(cursor, "health", filters)


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.hex()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(InvalidCursorError):
        resume(text, "usage", {})
