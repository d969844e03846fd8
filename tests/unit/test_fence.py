"""The fence on the log: which records of which owners count, and where a fence comes to lie."""

from __future__ import annotations

import pytest

from events.fence import EPOCH_HEADER, epoch_header, epoch_of
from events.partitioner import partition_of
from processors.fence import fences, is_fence
from projections.live.fences import Fences
from projections.live.slots import Slot


def test_an_earlier_owner_counts_nothing_once_a_later_one_was_met() -> None:
    """Of the same source only: others have epochs of their own."""
    met = Fences().plus("usage.0", 5)
    assert not met.passes("usage.0", 4)
    assert met.passes("usage.0", 5)
    assert met.passes("usage.0", 6)
    assert met.passes("usage.1", 1)


def test_a_record_without_an_epoch_counts_always() -> None:
    """It was appended by a release that knew of none: there is nothing to judge it by."""
    assert Fences().plus("usage.0", 5).passes("usage.0", 0)


def test_the_greatest_epoch_stays() -> None:
    """Whatever comes late."""
    met = Fences().plus("usage.0", 5)
    assert met.plus("usage.0", 3) is met
    assert Fences.from_json(met.to_json()) == met


@pytest.mark.parametrize("value", [b"", b"-1", b"5.0", b"\xff", b"9" * 20])
def test_an_epoch_that_cannot_be_read_is_none(value: bytes) -> None:
    """Anybody may write a header."""
    assert epoch_of([(EPOCH_HEADER, value)]) == 0


def test_the_epoch_is_found_among_other_headers() -> None:
    """As it was written."""
    assert epoch_of([("trace", b"1"), epoch_header(1_700_000_000_000_000)]) == 1_700_000_000_000_000


@pytest.mark.parametrize("partitions", [1, 3, 64])
def test_a_fence_lies_in_each_partition_that_was_asked_for(partitions: int) -> None:
    """By its key, as every record does."""
    appended = fences(Slot("usage", 2), 7, range(partitions), partitions, 1_000_000)
    assert [partition_of(one.provider.encode(), partitions) for one in appended] == list(range(partitions))
    assert all(map(is_fence, appended))
    assert len({one.event_id for one in appended}) == partitions
