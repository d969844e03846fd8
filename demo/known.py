"""Which positions of the log a gateway's view rests on: what goes into `RoutingDecided.known_positions`."""

from __future__ import annotations

import asyncio

from events.positions import Position
from projections.live.change import Change
from projections.live.slots import PROVIDER_LEAD

SETTLED_AFTER_S = 0.05
"""A push counts once the refresh that it causes has had time to end: a position is told too low rather than too high."""


class KnownPositions:
    """A Listener of Changes. Only the slots that breakers and providers live in matter to a router."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}
        self._tokens: tuple[str, ...] = ()
        self._subscription = 0

    @property
    def tokens(self) -> tuple[str, ...]:
        """The position vector, written as `outcomes-1:42`."""
        return self._tokens

    def subscribed(self) -> None:
        """Positions come with the pushes."""

    def changed(self, change: Change) -> None:
        """A slot moved on."""
        if change.slot.lead == PROVIDER_LEAD and change.next_offsets:
            asyncio.get_running_loop().call_later(SETTLED_AFTER_S, self._settle, change, self._subscription)

    def lost(self) -> None:
        """Nothing is known any more."""
        self._subscription += 1
        self._next.clear()
        self._tokens = ()

    def _settle(self, change: Change, subscription: int) -> None:
        if subscription != self._subscription:
            return
        for topic, offset in change.next_offsets.items():
            self._next[topic, change.slot.partition] = offset
        self._tokens = tuple(
            str(Position(topic, number, offset)) for (topic, number), offset in sorted(self._next.items())
        )
