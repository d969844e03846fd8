"""What a commit tells the readers: where its slot is now, and which states are other than before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from projections.live.slots import Slot

KEYS_NAMED_OF_A_KIND = 200
"""When more states of one kind changed, the message names the kind instead: it stays small."""


@dataclass(frozen=True, slots=True)
class Change:
    """`keys` are `kind:id`; of each kind in `kinds` any state of the slot may have changed."""

    slot: Slot
    next_offsets: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @classmethod
    def of(cls, slot: Slot, next_offsets: Mapping[str, int], keys: Iterable[str]) -> Change:
        """The change of those keys, bounded in size."""
        by_kind: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            by_kind[key.partition(":")[0]].append(key)
        named = [key for keys in by_kind.values() if len(keys) <= KEYS_NAMED_OF_A_KIND for key in keys]
        kinds = [kind for kind, keys in by_kind.items() if len(keys) > KEYS_NAMED_OF_A_KIND]
        return cls(slot, dict(next_offsets), tuple(named), tuple(kinds))

    def to_json(self) -> bytes:
        """As it is pushed."""
        message = {
            "slot": str(self.slot),
            "next": dict(self.next_offsets),
            "keys": self.keys,
            "kinds": self.kinds,
        }
        return orjson.dumps(message)

    @classmethod
    def from_json(cls, data: bytes) -> Change:
        """The inverse of to_json; ValueError when the bytes are no such message."""
        try:
            message = orjson.loads(data)
            return cls(
                Slot.parse(message["slot"]), message["next"], tuple(message["keys"]), tuple(message["kinds"])
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no change message: {error!r}") from error
