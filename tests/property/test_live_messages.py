"""What the live store writes and pushes as bytes comes back the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.live.change import KEYS_NAMED_OF_A_KIND, Change
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot

numbers = st.integers(0, 2**62)
slots = st.builds(Slot, st.sampled_from(["usage", "health"]), st.integers(0, 1023))
keys = st.builds(
    "{}:{}".format, st.sampled_from(["spend", "breaker"]), st.text(st.characters(codec="utf-8"), max_size=20)
)


@given(
    st.builds(
        OutboxEntry, numbers, st.text(max_size=40), st.binary(max_size=300), st.binary(max_size=300), numbers
    )
)
def test_outbox_entry_round_trip(entry: OutboxEntry) -> None:
    """Topic, key and value may hold any bytes."""
    assert OutboxEntry.from_bytes(entry.to_bytes()) == entry


@given(
    slots,
    st.dictionaries(st.sampled_from(["usage", "outcomes"]), numbers),
    st.lists(keys, unique=True, max_size=30),
)
def test_change_round_trip(slot: Slot, next_offsets: dict[str, int], changed: list[str]) -> None:
    """All keys are named while they are few."""
    change = Change.of(slot, next_offsets, changed)
    assert Change.from_json(change.to_json()) == change
    assert set(change.keys) == set(changed)


@given(st.integers(0, 3 * KEYS_NAMED_OF_A_KIND))
def test_change_message_is_bounded(count: int) -> None:
    """Every changed state is covered, by its key or by its kind, and one kind names only so many keys."""
    changed = [f"spend:t{number}|tenant|1" for number in range(count)]
    change = Change.of(Slot("usage", 0), {}, changed)
    assert len(change.keys) <= KEYS_NAMED_OF_A_KIND
    assert set(changed) == set(change.keys) or change.kinds == ("spend",)


@given(st.binary(max_size=50))
def test_bytes_that_are_no_change_are_a_value_error(data: bytes) -> None:
    """A foreign message on the channel is told apart, not guessed at."""
    with pytest.raises(ValueError):
        Change.from_json(data)


@given(slots)
def test_slot_round_trip(slot: Slot) -> None:
    """The written form is the name."""
    assert Slot.parse(str(slot)) == slot
