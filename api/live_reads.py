"""Reads of the live state as requests ask for them: fresh enough, and saying what they have folded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from prometheus_client import Counter

from api.asked import Asked
from events.positions import Partition, format_vector
from projections.live.cache import LiveCache
from projections.live.change import Change
from projections.live.consistency import Consistency, Waits
from projections.live.entries import MISSING
from projections.live.kind import Kind
from projections.live.slots import Slot, slot_of, slots_of_kind
from projections.live.store import LiveStore

T = TypeVar("T")

_OF_DEPLOYMENTS = ("breaker", "health", "check")

MAX_HEADER_POSITIONS = 256
"""A position vector that is longer would not fit the headers that clients accept; it is left out."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """States by id, and what they have folded at least."""

    states: dict[str, T]
    folded: dict[Partition, int]

    @property
    def positions(self) -> str | None:
        """The vector as a header's text; None when it would be too long."""
        return format_vector(self.folded) if len(self.folded) <= MAX_HEADER_POSITIONS else None


@dataclass(slots=True)
class PushedPositions:
    """How far each slot is by the pushes heard, of the topics that moved. Told after the cache, so that no cached state
    is older than this.
    """

    slots: dict[Slot, dict[str, int]] = field(default_factory=dict)

    def subscribed(self) -> None:
        """Nothing is known yet: a commit may have come just before."""
        self.slots.clear()

    def changed(self, change: Change) -> None:
        """The slot moved on."""
        self.slots.setdefault(change.slot, {}).update(change.next_offsets)

    def lost(self) -> None:
        """Pushes may be missed from now on."""
        self.slots.clear()


class LiveReads:
    """Answers from the cache when that is fresh enough, else from the store after a bounded wait."""

    def __init__(
        self,
        store: LiveStore,
        cache: LiveCache,
        waits: Waits,
        pushed: PushedPositions,
        *,
        partitions: int,
        lookups: Counter,
    ) -> None:
        """`lookups` counts what the cache had, by kind and outcome."""
        self._store = store
        self._cache = cache
        self._waits = waits
        self._pushed = pushed
        self._partitions = partitions
        self._lookups = lookups

    def slot(self, kind: Kind[T], state_id: str) -> Slot:
        """Where a state lives."""
        return slot_of(kind.name, state_id, self._partitions)

    async def some(self, asked: Asked, kind: Kind[T], state_ids: Collection[str]) -> Answer[T]:
        """The states of these ids that exist."""
        slots = {self.slot(kind, state_id) for state_id in state_ids}
        await self._waits.reach(asked.consistency, slots, asked.at_least)
        return await self._read(asked, kind, state_ids, slots)

    async def every(self, asked: Asked, kind: Kind[T]) -> Answer[T]:
        """All states of an indexed kind, in the order of their ids."""
        slots = set(slots_of_kind(kind.name, self._partitions))
        await self._waits.reach(asked.consistency, slots, asked.at_least)
        known = await self._store.ids(slots, kind.name)
        state_ids = sorted(state_id for ids in known.values() for state_id in ids)
        return await self._read(asked, kind, state_ids, slots)

    async def also(self, asked: Asked, kind: Kind[T], state_ids: Collection[str]) -> dict[str, T]:
        """More states for an answer whose wait is over: at least as fresh as what it has."""
        if asked.consistency is Consistency.EVENTUAL:
            found = await self._cached(kind, state_ids)
        else:
            found = await self._cache.fetch_newest(kind, state_ids)
        return {state_id: state for state_id, state in found.items() if state is not None}

    async def _cached(self, kind: Kind[T], state_ids: Collection[str]) -> dict[str, T | None]:
        misses = sum(self._cache.get(kind, state_id) is MISSING for state_id in state_ids)
        self._lookups.labels(kind.name, "miss").inc(misses)
        self._lookups.labels(kind.name, "hit").inc(len(state_ids) - misses)
        return await self._cache.fetch_many(kind, state_ids)

    async def deployments(self, provider: str) -> list[str]:
        """Names of the deployments of a provider that calls, checks or overrides have made known."""
        slot = slot_of("provider", provider, self._partitions)
        return (await self._deployments([slot])).get(provider, [])

    async def deployments_by_provider(self) -> dict[str, list[str]]:
        """The same of all providers; one that only its own checks made known has none."""
        return await self._deployments(slots_of_kind("provider", self._partitions))

    async def _deployments(self, slots: Collection[Slot]) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {}
        for kind in _OF_DEPLOYMENTS:
            for ids in (await self._store.ids(slots, kind)).values():
                for state_id in ids:
                    provider, slash, _ = state_id.partition("/")
                    found.setdefault(provider, set()).update([state_id] if slash else [])
        return {provider: sorted(names) for provider, names in found.items()}

    async def _read(
        self, asked: Asked, kind: Kind[T], state_ids: Collection[str], slots: Collection[Slot]
    ) -> Answer[T]:
        # What is folded is looked up before the states: these may be newer than it says, never older.
        if asked.consistency is Consistency.EVENTUAL and all(self._pushed.slots.get(slot) for slot in slots):
            folded = _vector((slot, dict(self._pushed.slots[slot])) for slot in slots)
            found = await self._cached(kind, state_ids)
        else:
            checkpoints = await self._store.checkpoints(slots)
            folded = _vector((slot, checkpoint.next_offsets) for slot, checkpoint in checkpoints.items())
            found = await self._cache.fetch_newest(kind, state_ids)
        return Answer({state_id: state for state_id, state in found.items() if state is not None}, folded)


def _vector(slots: Iterable[tuple[Slot, dict[str, int]]]) -> dict[Partition, int]:
    return {
        Partition(topic, slot.partition): offset
        for slot, offsets in slots
        for topic, offset in offsets.items()
    }
