"""A look at a slot: what some of its keys hold and where it is, at one instant, while its owner goes on writing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from projections.live.checkpoint import Checkpoint
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot
from projections.live.store import LiveStore

KEYS_AT_ONCE = 500
"""Of one look: it is one call, and Redis does nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class Look:
    """`values` by key. A set is the sorted list of its members; a key of a wrong type is what its type says."""

    checkpoint: Checkpoint
    outbox: tuple[OutboxEntry, ...]
    values: Mapping[str, bytes]


async def look(store: LiveStore, slot: Slot, keys: Sequence[str]) -> Look:
    """One look. BrokenInvariantError when the slot's own hash or outbox is of a wrong type."""
    keyspace, prefix = store.keyspace, store.keyspace.prefix(slot)
    named = (keyspace.meta(slot), keyspace.outbox(slot), *(prefix + key for key in keys))
    fields, entries, found = await store.connection.function("look", named, ())
    values = {}
    for key, (kind, held) in zip(keys, found, strict=True):
        if kind == b"string":
            values[key] = held
        elif kind == b"set":
            values[key] = orjson.dumps(sorted(member.decode(errors="replace") for member in held))
        elif kind != b"none":
            values[key] = orjson.dumps(f"a {kind.decode()}")
    checkpoint = Checkpoint.from_hash(dict(zip(fields[::2], fields[1::2], strict=True)))
    return Look(checkpoint, tuple(OutboxEntry.from_bytes(entry) for entry in entries), values)


async def keys_of(store: LiveStore, slots: Iterable[Slot], but: Collection[str]) -> Mapping[Slot, set[str]]:
    """All keys that there are in the slots, but for some kinds, by a walk through the whole keyspace."""
    by_prefix = {store.keyspace.prefix(slot): slot for slot in slots}
    found: defaultdict[Slot, set[str]] = defaultdict(set)
    async for page in store.connection.scan(store.keyspace.beginning):
        for name in page:
            tag, _, key = name.partition("}:")
            slot = by_prefix.get(f"{tag}}}:")
            if slot is not None and key.partition(":")[0] not in but:
                found[slot].add(key)
    return found
