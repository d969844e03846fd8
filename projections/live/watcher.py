"""Watched kinds: loaded whole, refreshed at once on push, loaded again before their time to live is over."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Never

import structlog

from projections.errors import LiveUnavailableError
from projections.live.entries import Entries
from projections.live.kind import Kind
from projections.live.slots import Slot, slot_of, slots_of_kind
from projections.live.store import LiveStore

_log = structlog.get_logger(__name__)

_LOADS_PER_TTL: Final = 2


@dataclass(slots=True)
class _Watched:
    """`ids` are in the entries; `pending` were pushed and not read since; `is_due` asks for a load of all."""

    kind: Kind[object]
    ids: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    is_due: bool = False
    whole_until_ns: int = 0


class Watcher:
    """Keeps all states of some kinds in the entries while a subscription lasts. An old value stays until the new one
    is read; when that fails, all are forgotten rather than served old.
    """

    def __init__(
        self,
        store: LiveStore,
        partitions: int,
        kinds: Collection[Kind[object]],
        entries: Entries,
        clock_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._watched = {kind.name: _Watched(kind) for kind in kinds}
        self._entries = entries
        self._clock_ns = clock_ns
        self._subscriptions = 0
        self._is_pushed_to = False
        self._wake = asyncio.Event()
        self._loaded = asyncio.Event()

    def begin(self) -> None:
        """Pushes arrive from now on."""
        self._subscriptions += 1
        self._is_pushed_to = True
        for watched in self._watched.values():
            watched.is_due = True
        self._wake.set()

    def end(self) -> None:
        """No pushes any more: nothing is known."""
        self._is_pushed_to = False
        self._forget()

    def touch(self, kind: str, state_id: str) -> bool:
        """A push named the state. False when its kind is not watched."""
        watched = self._watched.get(kind)
        if watched is None:
            return False
        watched.pending.add(state_id)
        self._wake.set()
        return True

    def touch_all(self, kind: str) -> bool:
        """A push named the kind. False when it is not watched."""
        watched = self._watched.get(kind)
        if watched is None:
            return False
        watched.is_due = True
        self._wake.set()
        return True

    def lessen(self, kinds: Collection[str]) -> None:
        """Something of these kinds had to make room, so that what is not in the entries may exist."""
        for name in kinds:
            if name in self._watched:
                self._watched[name].whole_until_ns = 0
                _log.warning("live.cache_too_small", kind=name, held=self._entries.bytes_held)

    def is_whole(self, kind: str) -> bool:
        """True when every state of the kind is in the entries."""
        watched = self._watched.get(kind)
        return watched is not None and watched.whole_until_ns > self._clock_ns()

    def ids(self, kind: str) -> Collection[str]:
        """The ids that are known of a watched kind."""
        return self._watched[kind].ids

    async def loaded(self) -> None:
        """Returns once all kinds were loaded since the subscription began."""
        await self._loaded.wait()

    async def run(self) -> Never:
        """Load and refresh until cancelled."""
        settings = self._store.settings
        period_s = (
            min((watched.kind.ttl_s for watched in self._watched.values()), default=60.0) / _LOADS_PER_TTL
        )
        pause_s = settings.retry_min_s
        while True:
            await self._awakened(period_s)
            try:
                await self._catch_up()
                pause_s = settings.retry_min_s
            except LiveUnavailableError as error:
                _log.warning("live.watch_interrupted", error=str(error))
            except Exception:  # noqa: BLE001 - a value that cannot be read must not end the watch of all others
                _log.exception("live.watch_failed")
                pause_s = settings.retry_max_s
            else:
                continue
            self._forget()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, settings.retry_max_s)
            self._load_again()

    async def _awakened(self, period_s: float) -> None:
        try:
            async with asyncio.timeout(period_s):
                await self._wake.wait()
        except TimeoutError:
            self._load_again()

    def _load_again(self) -> None:
        for watched in self._watched.values():
            watched.is_due = self._is_pushed_to
        self._wake.set()

    async def _catch_up(self) -> None:
        self._wake.clear()
        while self._is_pushed_to:
            behind = [watched for watched in self._watched.values() if watched.is_due or watched.pending]
            if not behind:
                self._loaded.set()
                return
            for watched in behind:
                await (self._load(watched) if watched.is_due else self._refresh(watched))

    async def _load(self, watched: _Watched) -> None:
        subscription = self._subscriptions
        started_ns = self._clock_ns()
        watched.is_due = False
        watched.pending.clear()
        name = watched.kind.name
        found = await self._store.read_all(slots_of_kind(name, self._partitions), name)
        if not self._still(subscription):
            return
        for gone in watched.ids - found.keys():
            self._entries.drop(name, gone)
        watched.ids = set(found)
        watched.whole_until_ns = started_ns + watched.kind.ttl_ns
        for state_id, encoded in found.items():
            self._keep(watched, state_id, encoded)

    async def _refresh(self, watched: _Watched) -> None:
        subscription = self._subscriptions
        pending, watched.pending = watched.pending, set()
        name = watched.kind.name
        wanted: defaultdict[Slot, list[str]] = defaultdict(list)
        for state_id in pending:
            wanted[slot_of(name, state_id, self._partitions)].append(f"{name}:{state_id}")
        read = await self._store.read_slots(wanted)
        if not self._still(subscription):
            return
        found = {
            key.partition(":")[2]: encoded for values in read.values() for key, encoded in values.items()
        }
        for state_id in pending:
            if state_id in found:
                watched.ids.add(state_id)
                self._keep(watched, state_id, found[state_id])
            else:
                watched.ids.discard(state_id)
                self._entries.drop(name, state_id)

    def _keep(self, watched: _Watched, state_id: str, encoded: bytes) -> None:
        kind = watched.kind
        slot = slot_of(kind.name, state_id, self._partitions)
        value = kind.decode(encoded)
        self.lessen(self._entries.put(kind, state_id, slot, value, len(encoded)))

    def _still(self, subscription: int) -> bool:
        return self._is_pushed_to and self._subscriptions == subscription

    def _forget(self) -> None:
        self._loaded.clear()
        for name, watched in self._watched.items():
            for state_id in watched.ids:
                self._entries.drop(name, state_id)
            watched.ids.clear()
            watched.pending.clear()
            watched.whole_until_ns = 0
