"""How far a sink is in each partition that it owns, and when one that failed is opened again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.positions import Partition
from projections.tip import Tip

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0


@dataclass(slots=True)
class Place:
    """An owned partition. `next_offset` is the next to write, None while it is not open; `durable` the next to keep.

    `tip` is the last record that was written.
    """

    next_offset: int | None = None
    tip: Tip | None = None
    durable: int | None = None
    due_s: float = 0.0
    pause_s: float = 0.0
    hole: tuple[int, int] | None = None


@dataclass(slots=True)
class Places:
    """The owned partitions of one sink. Times are seconds of a monotonic clock."""

    held: dict[Partition, Place] = field(default_factory=dict)

    def assign(self, partitions: Iterable[Partition]) -> None:
        """The group gave these, and took all others. Each has to be opened."""
        self.held = {partition: Place() for partition in partitions}

    def due(self, now_s: float) -> list[Partition]:
        """Those to open now."""
        return [
            partition
            for partition, place in self.held.items()
            if place.next_offset is None and place.due_s <= now_s
        ]

    def opened(self, partition: Partition, offset: int, tip: Tip | None) -> None:
        """It is read on from there."""
        place = self.held[partition]
        place.next_offset = place.durable = offset
        place.tip = tip

    def advanced(self, partition: Partition, tip: Tip, durable: int) -> None:
        """A batch was written up to the tip, so what was wrong before is over."""
        place = self.held[partition]
        place.next_offset, place.tip, place.durable = tip.offset + 1, tip, durable
        place.pause_s = 0.0

    def lost(self, partition: Partition, now_s: float) -> float:
        """It has to be opened again, after a pause that grows; the pause."""
        place = self.held[partition]
        place.next_offset = None
        place.pause_s = min(max(FIRST_PAUSE_S, 2 * place.pause_s), LONGEST_PAUSE_S)
        place.due_s = now_s + place.pause_s
        return place.pause_s

    def is_news(self, partition: Partition, found: int) -> bool:
        """Whether a fetch that begins elsewhere than expected was not seen before: then it may just have come late."""
        place = self.held[partition]
        hole = (place.next_offset or 0, found)
        news = place.hole != hole
        place.hole = hole if news else None
        return news

    def made_durable(self, positions: dict[Partition, int]) -> None:
        """The sink kept what it had gathered."""
        for partition, durable in positions.items():
            if partition in self.held:
                self.held[partition].durable = durable

    @property
    def durable(self) -> dict[Partition, int]:
        """The durable next offset of each partition of which it is known."""
        return {
            partition: place.durable for partition, place in self.held.items() if place.durable is not None
        }

    def behind(self, ends: dict[Partition, int]) -> bool:
        """Whether any has not been read to its end."""
        return any(
            place.next_offset is None or place.next_offset < ends.get(partition, 0)
            for partition, place in self.held.items()
        )
