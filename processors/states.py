"""The states that a slot touches, decoded and kept in memory between batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from processors.retry import until_done
from projections.live.commit import Lease
from projections.live.store import LiveStore

MOST_STATES = 200_000


class State(Protocol):
    """A read model: a pure state with canonical bytes."""

    def to_json(self) -> bytes:
        """Canonical bytes."""
        ...


S = TypeVar("S", bound=State)
Decoder = Callable[[bytes], State]


class States:
    """Read-through memory of one slot's states by key (`kind:id`). Writes are absolute values, taken once a batch.

    `lease` is the owner's, under which alone anything is read.

    Bounded in two generations: what is not asked for while a new one fills goes with the old one.
    """

    def __init__(self, lease: Lease, store: LiveStore, decoders: Mapping[str, Decoder]) -> None:
        self._lease = lease
        self._store = store
        self._decoders = decoders
        self._held: dict[str, State | None] = {}
        self._older: dict[str, State | None] = {}
        self._changed: dict[str, State | None] = {}

    async def load(self, keys: Iterable[str]) -> None:
        """Make sure that the states of these keys are in memory; one read for those that are not.

        Raises as LiveStore.commit does when the slot is no longer as its owner left it.
        """
        missing = []
        for key in dict.fromkeys(key for key in keys if key not in self._held):
            if key in self._older:
                self._held[key] = self._older[key]
            else:
                missing.append(key)
        if not missing:
            return
        found = await until_done("live", lambda: self._store.read_owned(self._lease, missing))
        for key in missing:
            raw = found.get(key)
            self._held[key] = None if raw is None else self._decoders[key.partition(":")[0]](raw)

    def get(self, key: str, kind: type[S]) -> S | None:
        """A loaded state; None when there is none. KeyError when it was not loaded."""
        if key not in self._held:
            self._held[key] = self._older[key]
        state = self._held[key]
        if state is not None and not isinstance(state, kind):
            raise TypeError(f"{key} holds {type(state).__name__}, not {kind.__name__}")
        return state

    def put(self, key: str, state: State | None) -> None:
        """Change a state; None removes it."""
        self._held[key] = state
        self._changed[key] = state

    def take_writes(self) -> dict[str, bytes | None]:
        """What changed since the last call, as bytes, and make room for the next batch."""
        writes = {key: None if state is None else state.to_json() for key, state in self._changed.items()}
        self._changed.clear()
        if len(self._held) > MOST_STATES // 2:
            self._held, self._older = {}, self._held
        return writes
