"""A batch of records as a fetch brings it: what is missing in it is seen."""

from __future__ import annotations

import pytest

from processors.batching import RecordBatch
from tests.simulation.log import changed, record_of


def batch(*offsets: int) -> RecordBatch:
    return RecordBatch("interlock.usage", 0, [changed(record_of(b"k", b"v", 0), offset=at) for at in offsets])


@pytest.mark.parametrize(
    "offsets, parts",
    [
        ((5,), [(5, 6)]),
        ((5, 6, 7), [(5, 8)]),
        ((5, 7, 8), [(5, 6), (7, 9)]),
        ((1, 3, 5), [(1, 2), (3, 4), (5, 6)]),
    ],
)
def test_a_batch_falls_apart_where_offsets_are_missing(
    offsets: tuple[int, ...], parts: list[tuple[int, int]]
) -> None:
    """Each part begins and ends where its records do."""
    whole = batch(*offsets)
    assert whole.has_holes is (len(parts) > 1)
    assert [(part.start, part.end) for part in whole.unbroken()] == parts
