"""Positions and vectors as they are written in tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import TOPICS
from events.partitioner import partition_of
from events.positions import InvalidPositionError, Partition, Position, format_vector, parse_vector, vector_of
from projections.live.slots import slot_of, slot_of_partition

topics = st.sampled_from(sorted(TOPICS))
positions = st.builds(Position, topics, st.integers(0, 1023), st.integers(0, 10**18 - 1))


@given(positions)
def test_position_round_trip(position: Position) -> None:
    """A topic with a dash in its name is no trouble."""
    assert Position.parse(str(position)) == position


@given(st.lists(positions, max_size=8))
def test_vector_round_trip_covers_all_positions(listed: list[Position]) -> None:
    """Of several positions of one partition the later one counts, in whatever order they come."""
    vector = vector_of(listed)
    assert parse_vector(format_vector(vector)) == vector
    assert parse_vector(",".join(map(str, reversed(listed)))) == vector
    for position in listed:
        assert vector[Partition(position.topic, position.partition)] >= position.offset


@given(st.text(max_size=20).filter(lambda text: ":" not in text))
def test_text_without_offset_is_no_position(text: str) -> None:
    """It is refused by name, never guessed."""
    with pytest.raises(InvalidPositionError):
        Position.parse(text)


@given(st.text(min_size=1, max_size=20).filter(lambda name: "/" not in name), st.integers(1, 64))
def test_state_lives_in_the_slot_of_its_record_key(name: str, partitions: int) -> None:
    """A provider's states lie where its records lie, and a tenant's where its own do."""
    partition = partition_of(name.encode(), partitions)
    for kind in ("breaker", "window", "health", "check", "override"):
        assert slot_of(kind, f"{name}/model@region", partitions) == slot_of_partition(
            Partition("outcomes", partition)
        )
    for kind in ("budgets", "raised", "routing"):
        assert slot_of(kind, name, partitions) == slot_of_partition(Partition("usage", partition))
