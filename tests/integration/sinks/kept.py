"""A store in memory that keeps what it is given, and fails as it is told: what a sink's driver is tried with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from events.catalogue import TOPICS
from events.positions import Partition
from events.reader import LogRecord
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from projections.tip import Tip, tip_of


@dataclass(slots=True)
class Store:
    """What outlives a sink: the values by partition, each at its offset, and who owns the partition."""

    values: dict[Partition, list[bytes]] = field(default_factory=dict)
    epochs: dict[Partition, int] = field(default_factory=dict)
    tips: dict[Partition, Tip] = field(default_factory=dict)
    away: bool = False
    lose_replies: int = 0
    writes: int = 0


@dataclass(slots=True)
class KeepingSink:
    """A sink on a store that others may have too."""

    store: Store
    name: str = "kept"
    topics: tuple[str, ...] = tuple(TOPICS)
    owned: dict[Partition, int] = field(default_factory=dict)
    closed: bool = False

    async def open(self, place: Partition) -> int:
        self._ask()
        self.owned[place] = self.store.epochs[place] = self.store.epochs.get(place, 0) + 1
        return len(self.store.values.setdefault(place, []))

    def tip(self, place: Partition) -> Tip | None:
        return self.store.tips.get(place)

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        self._ask()
        self.store.writes += 1
        if self.store.epochs[place] != self.owned[place]:
            raise FencedError(f"{place} has another owner", owner="another", epoch=self.store.epochs[place])
        kept = self.store.values[place]
        if len(kept) != start or records[0].offset != start:
            raise StaleCheckpointError(f"{place} is at {len(kept)}, not at {start}")
        kept.extend(record.value or b"" for record in records)
        self.store.tips[place] = tip_of(records[-1])
        if self.store.lose_replies:
            self.store.lose_replies -= 1
            raise SinkUnavailableError("the reply was lost")
        return len(kept)

    async def tick(self) -> dict[Partition, int]:
        return {}

    async def release(self, place: Partition) -> None:
        self.owned.pop(place, None)

    async def drain(self) -> dict[Partition, int]:
        return {}

    async def positions(self) -> dict[Partition, int]:
        return {place: len(kept) for place, kept in self.store.values.items()}

    async def close(self) -> None:
        self.closed = True

    def _ask(self) -> None:
        if self.store.away:
            raise SinkUnavailableError("the store is away")
