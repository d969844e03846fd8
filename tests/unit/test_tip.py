"""The last record that was taken tells its log from another one with the same offsets."""

from __future__ import annotations

import pytest

from events.reader import LogRecord
from projections.tip import is_elsewhere, tip_of
from tests.simulation.log import changed, record_of


def records(value: bytes, *offsets: int) -> list[LogRecord]:
    return [changed(record_of(b"k", value, 0), offset=at) for at in offsets]


@pytest.mark.parametrize(
    "offsets, told",
    [((7,), True), ((5, 6, 7, 8), True), ((8, 9), False), ((4, 5, 6), False), ((6, 8), False)],
)
def test_only_a_record_in_its_place_tells(offsets: tuple[int, ...], told: bool) -> None:
    """What lies around it, or a log that no longer has it, says nothing."""
    [tip] = [tip_of(record) for record in records(b"v", 7)]
    assert is_elsewhere(tip, records(b"other", *offsets)) is told
    assert not is_elsewhere(tip, records(b"v", *offsets))
    assert not is_elsewhere(None, records(b"other", *offsets))
