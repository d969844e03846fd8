"""How fresh a read has to be: as it is, past given positions, or past the log's end. A wait is bounded, then it says
how far behind the projection is; no stale answer in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from events.positions import InvalidPositionError, Partition, PositionVector, format_vector
from projections.errors import LaggingError
from projections.live.change import Change
from projections.live.checkpoint import Checkpoint
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD, Slot, slot_of_partition
from projections.live.store import LiveStore

LogEnds = Callable[[Collection[Partition]], Awaitable[PositionVector]]
"""The next offset that the log will give, of each partition."""

_DERIVING = frozenset({"usage", "health"})
_DERIVED = "outcomes"
"""Records of the deriving topics reach breakers and health by way of outcomes, appended from their slot's outbox."""


class Consistency(StrEnum):
    """What a read asks for."""

    EVENTUAL = "eventual"
    SESSION = "session"
    STRONG = "strong"


@dataclass(slots=True)
class _Goal:
    """Positions to be folded, and of which partitions what they gave rise to has to be on the log as well."""

    positions: dict[Partition, int]
    until_derived: frozenset[Partition] = frozenset()
    _outboxes: dict[Slot, int] = field(default_factory=dict)

    @property
    def slots(self) -> frozenset[Slot]:
        return frozenset(slot_of_partition(partition) for partition in self.positions)

    def lag(self, checkpoints: Mapping[Slot, Checkpoint]) -> dict[Partition, int]:
        """Missing records by partition; 0 where only derived events are missing. Empty when the goal is reached."""
        lag: dict[Partition, int] = {}
        for partition, position in self.positions.items():
            slot = slot_of_partition(partition)
            checkpoint = checkpoints[slot]
            folded = checkpoint.next_offsets.get(partition.topic, 0)
            if folded < position:
                self._outboxes.pop(slot, None)
                lag[partition] = position - folded
            elif partition in self.until_derived and checkpoint.published_seq < self._outbox(
                slot, checkpoint
            ):
                lag[partition] = 0
        return lag

    def _outbox(self, slot: Slot, checkpoint: Checkpoint) -> int:
        """The outbox as it ended when the position was first seen folded; a slot that began anew counts anew."""
        seq = min(self._outboxes.get(slot, checkpoint.outbox_seq), checkpoint.outbox_seq)
        self._outboxes[slot] = seq
        return seq


class Waits:
    """Waits until slots have folded what a read asks for. A Listener of Changes; without pushes it polls."""

    def __init__(self, store: LiveStore, partitions: int, log_ends: LogEnds) -> None:
        self._store = store
        self._partitions = partitions
        self._log_ends = log_ends
        self._waiting: set[tuple[frozenset[Slot], asyncio.Event]] = set()

    async def reach(
        self, consistency: Consistency, slots: Collection[Slot], at_least: PositionVector | None = None
    ) -> None:
        """Returns once what is read from `slots` is fresh enough. `at_least` is what a session has seen appended.

        LaggingError when the settings' bound runs out; InvalidPositionError when a position cannot be waited for.
        """
        if consistency is Consistency.EVENTUAL:
            return
        positions = dict(at_least or {})
        self._check(positions)
        lag: dict[Partition, int] = {}
        bound_s = self._store.settings.consistency_timeout_s
        try:
            async with asyncio.timeout(bound_s):
                if consistency is Consistency.STRONG:
                    positions |= await self._log_ends(self._sources(slots))
                await self._reach_all(positions, slots, lag)
        except TimeoutError as error:
            raise LaggingError(_lag_text(lag, bound_s), lag=lag) from error

    def subscribed(self) -> None:
        """Nothing to do: a wait polls until pushes wake it."""

    def changed(self, change: Change) -> None:
        """Wake those who wait for the slot."""
        for slots, event in self._waiting:
            if change.slot in slots:
                event.set()

    def lost(self) -> None:
        """Nothing to do: a wait polls."""

    async def _reach_all(
        self, positions: dict[Partition, int], slots: Collection[Slot], lag: dict[Partition, int]
    ) -> None:
        """Breakers and health follow from usage in two stages: it is folded and its outcomes are appended; then those
        are folded. `lag` is kept current.
        """
        read = [slot for slot in slots if slot.lead == PROVIDER_LEAD]
        deriving = (
            frozenset(partition for partition in positions if partition.topic in _DERIVING)
            if read
            else frozenset()
        )
        await self._wait(_Goal(positions, deriving), lag)
        if deriving:
            ends = await self._log_ends([Partition(_DERIVED, slot.partition) for slot in read])
            await self._wait(_Goal(dict(ends)), lag)

    async def _wait(self, goal: _Goal, lag: dict[Partition, int]) -> None:
        event = asyncio.Event()
        waiting = (goal.slots, event)
        self._waiting.add(waiting)
        try:
            while True:
                event.clear()
                missing = goal.lag(await self._store.checkpoints(goal.slots))
                lag.clear()
                lag.update(missing)
                if not missing:
                    return
                await _at_most(event, self._store.settings.consistency_poll_s)
        finally:
            self._waiting.discard(waiting)

    def _sources(self, slots: Collection[Slot]) -> list[Partition]:
        """All that the slots are folded from, what their outcomes are derived from included."""
        sources = {partition for slot in slots for partition in slot.partitions}
        if any(slot.lead == PROVIDER_LEAD for slot in slots):
            sources |= {Partition(TENANT_LEAD, number) for number in range(self._partitions)}
        return sorted(sources)

    def _check(self, positions: PositionVector) -> None:
        for partition in positions:
            if slot_of_partition(partition).partition >= self._partitions:
                raise InvalidPositionError(
                    f"{partition}: the topic has {self._partitions} partitions, from 0"
                )


async def _at_most(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


def _lag_text(lag: Mapping[Partition, int], bound_s: float) -> str:
    if not lag:
        return f"the log's end was not told within {bound_s} s: try again"
    behind = format_vector(lag)
    return f"not folded within {bound_s} s; records missing by partition: {behind}: try again, or read with less consistency"
