"""L1: decoded answers in the process, corrected by push. `get` is synchronous; a gateway asks it for every request.

The watched kinds are loaded whole when the subscription begins, and refreshed at once when a push names them: what is
not there does not exist. Of the other kinds a push only drops what changed, and the next `fetch` reads it again.
While there is no subscription nothing is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from projections.errors import LiveUnavailableError
from projections.live.change import Change
from projections.live.entries import MISSING, Entries, Missing
from projections.live.kind import Kind
from projections.live.readings import Readings
from projections.live.slots import Slot, slot_of
from projections.live.store import LiveStore
from projections.live.watcher import Watcher

T = TypeVar("T")

_Key = tuple[str, str]


class LiveCache:
    """A Listener of Changes. Bounded in bytes; an entry also ends with its kind's time to live."""

    def __init__(
        self,
        store: LiveStore,
        partitions: int,
        watched: Collection[Kind[object]] = (),
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._entries = Entries(store.settings.cache_bytes, clock_ns)
        self._watcher = Watcher(store, partitions, watched, self._entries, clock_ns)
        self._readings = Readings()
        self._flights: dict[_Key, asyncio.Task[Any]] = {}
        self._is_pushed_to = False
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._watcher.run(), name="live-cache")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        under_way = [task for task in (self._watch, *self._flights.values()) if task is not None]
        for task in under_way:
            task.cancel()
        for task in under_way:
            with suppress(asyncio.CancelledError, LiveUnavailableError):
                await task

    def get(self, kind: Kind[T], state_id: str) -> T | Missing | None:
        """The state as this process knows it; None when it does not exist, MISSING when that is not known."""
        value = self._entries.get(kind.name, state_id)
        if value is MISSING and self._watcher.is_whole(kind.name):
            return None
        return cast("T | Missing | None", value)

    def get_all(self, kind: Kind[T]) -> dict[str, T] | Missing:
        """Every state of a watched kind by id; MISSING while that is not known."""
        if not self._watcher.is_whole(kind.name):
            return MISSING
        values = {
            state_id: self._entries.get(kind.name, state_id) for state_id in self._watcher.ids(kind.name)
        }
        return cast("dict[str, T]", values)

    async def fetch(self, kind: Kind[T], state_id: str) -> T | None:
        """The state from here, else from the store; several that ask at once share one read. None: there is none."""
        value = self.get(kind, state_id)
        if value is not MISSING:
            return value
        key = (kind.name, state_id)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self.fetch_newest(kind, (state_id,)))
            self._flights[key] = flight
            flight.add_done_callback(partial(self._land, key))
        states = await asyncio.shield(flight)
        return cast("T | None", states[state_id])

    async def fetch_many(self, kind: Kind[T], state_ids: Iterable[str]) -> dict[str, T | None]:
        """As `fetch`, of many: what is not here is read at once."""
        known = {state_id: self.get(kind, state_id) for state_id in state_ids}
        missing = [state_id for state_id, value in known.items() if value is MISSING]
        read = await self.fetch_newest(kind, missing)
        return {state_id: read[state_id] if value is MISSING else value for state_id, value in known.items()}

    async def fetch_newest(self, kind: Kind[T], state_ids: Collection[str]) -> dict[str, T | None]:
        """The states as the store has them now: what a read has to use that waited for a position."""
        wanted: defaultdict[Slot, list[str]] = defaultdict(list)
        for state_id in state_ids:
            wanted[slot_of(kind.name, state_id, self._partitions)].append(state_id)
        states: dict[str, T | None] = {}
        with self._readings.open() as reading:
            found = await self._store.read_slots(
                {slot: [f"{kind.name}:{state_id}" for state_id in ids] for slot, ids in wanted.items()}
            )
            for slot, ids in wanted.items():
                for state_id in ids:
                    key = f"{kind.name}:{state_id}"
                    encoded = found[slot].get(key)
                    states[state_id] = None if encoded is None else kind.decode(encoded)
                    if self._is_pushed_to and not reading.is_stale(key, slot):
                        self._keep(kind, state_id, slot, states[state_id], len(encoded or b""))
        return states

    async def ready(self, timeout_s: float) -> None:
        """Returns once the watched kinds are loaded; LiveUnavailableError when that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._watcher.loaded()
        except TimeoutError as error:
            raise LiveUnavailableError(f"the live state could not be loaded within {timeout_s} s") from error

    def subscribed(self) -> None:
        """Reads that began before are not kept: a push about them may have been missed."""
        self._drop_all()
        self._is_pushed_to = True
        self._watcher.begin()

    def changed(self, change: Change) -> None:
        """Forget what changed, or have it read again when its kind is watched."""
        for key in change.keys:
            kind, _, state_id = key.partition(":")
            self._readings.invalidate(key)
            self._flights.pop((kind, state_id), None)
            if not self._watcher.touch(kind, state_id):
                self._entries.drop(kind, state_id)
        for kind in change.kinds:
            self._readings.invalidate_kind(kind, change.slot)
            for flight in [flight for flight in self._flights if flight[0] == kind]:
                del self._flights[flight]
            if not self._watcher.touch_all(kind):
                self._entries.drop_kind(kind, change.slot)

    def lost(self) -> None:
        """What is here may be old by now."""
        self._is_pushed_to = False
        self._watcher.end()
        self._drop_all()

    def _drop_all(self) -> None:
        self._entries.clear()
        self._readings.invalidate_all()
        self._flights.clear()

    def _keep(self, kind: Kind[T], state_id: str, slot: Slot, value: T | None, encoded_bytes: int) -> None:
        lessened = self._entries.put(kind, state_id, slot, value, encoded_bytes)
        self._watcher.lessen(lessened)

    def _land(self, key: _Key, flight: asyncio.Task[Any]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()
