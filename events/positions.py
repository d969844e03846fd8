"""Positions on the log: a partition of a topic and the *next* offset to read there, written `usage-3:1042`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from events.errors import EventsError

_FORM = re.compile(r"([a-z][a-z0-9-]*)-([0-9]{1,9}):([0-9]{1,18})")


class InvalidPositionError(EventsError):
    """A position or position vector is not written as it should be."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A partition of a topic, by the topic's short name; written `usage-3`."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """`offset` is the next to read: a projection at this position has folded everything below it."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position written as `topic-partition:offset`."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise InvalidPositionError(
                f"{text!r} is no position: write topic-partition:offset, for example usage-3:1042"
            )
        topic, partition, offset = match.groups()
        return cls(topic, int(partition), int(offset))


PositionVector = Mapping[Partition, int]
"""Next offset by partition."""


def parse_vector(text: str) -> dict[Partition, int]:
    """The vector written as positions with commas between; of two for one partition the later one counts."""
    vector: dict[Partition, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        position = Position.parse(part)
        partition = Partition(position.topic, position.partition)
        vector[partition] = max(position.offset, vector.get(partition, 0))
    return vector


def vector_of(positions: Iterable[Position]) -> dict[Partition, int]:
    """The least vector that covers all the positions."""
    furthest: dict[tuple[str, int], int] = {}
    for position in positions:
        place = (position.topic, position.partition)
        if position.offset > furthest.get(place, -1):
            furthest[place] = position.offset
    return {Partition(*place): offset for place, offset in furthest.items()}


def format_vector(vector: PositionVector) -> str:
    """Written as `parse_vector` reads it, in order."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(vector.items()))
