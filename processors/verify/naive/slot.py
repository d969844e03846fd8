"""What a naive fold of one slot is to a proof: it takes records, and says which bytes a key has to have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from events.codec import Codec
from events.envelope import Event
from events.reader import LogRecord
from events.settings import LogSettings
from processors.verify.naive.sieve import Sieve

Documents = dict[str, dict[str, Any]]


class NaiveSlot(ABC):
    """One slot, folded record by record: each topic in its order, the topics in any.

    What was derived and appended while the slot was being looked at may be in its states or not. `says` is therefore
    given what the live state has, and takes that side wherever both are right.
    """

    topics: ClassVar[tuple[str, ...]]
    derived: ClassVar[str]
    """The topic with what was decided in the slot, by its fold."""
    indexed: ClassVar[frozenset[str]]

    def __init__(self, codec: Codec, settings: LogSettings) -> None:
        self._sieves = {topic: Sieve(topic, codec, settings) for topic in self.topics}

    def take(self, topic: str, record: LogRecord) -> None:
        """The next record of a topic."""
        event = self._sieves[topic].take(record)
        if event is not None:
            self._fold(topic, event, record.offset)

    @abstractmethod
    def _fold(self, topic: str, event: Event, offset: int) -> None: ...

    @abstractmethod
    def decided(self, events: Iterable[tuple[Event, bool]]) -> None:
        """All that is known of the derived topic, in its order; True: it was on the log before the slot was looked at."""

    @abstractmethod
    def came_to(self, next_offsets: Mapping[str, int]) -> None:
        """All records below these offsets were given."""

    @abstractmethod
    def _documents(self, kind: str) -> Documents:
        """What has to be there of a kind, by id."""

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """All kinds of states that the slot may hold, but for horizons and indexes."""

    @property
    def remembered(self) -> int:
        """How many ids are kept to know a repeated one."""
        return sum(sieve.remembered for sieve in self._sieves.values())

    def keys(self) -> set[str]:
        """All keys that have to be there, but for the checkpoint, which always is."""
        found = {f"{kind}:{name}" for kind in self.kinds for name in self._documents(kind)}
        found |= {f"horizon:{topic}" for topic, sieve in self._sieves.items() if sieve.records}
        return found | {f"index:{kind}" for kind in self.indexed if self._documents(kind)}

    def says(self, key: str, live: Any) -> Any:
        """The document that a key has to have, None when it must not be there; `live` is the one that it has."""
        kind, _, name = key.partition(":")
        if key == "checkpoint":
            return {"clock_us": max(sieve.clock_ms for sieve in self._sieves.values()) * 1000}
        if kind == "horizon":
            sieve = self._sieves.get(name)
            return None if sieve is None else sieve.horizon_document()
        if kind == "index":
            return self._index(name, live) or None if name in self.indexed else None
        return self._document(kind, name, live) if kind in self.kinds else None

    def _document(self, kind: str, name: str, _live: Any) -> Any:
        return self._documents(kind).get(name)

    def _index(self, kind: str, _live: Any) -> list[str]:
        return sorted(self._documents(kind))
