"""Compare two generations at one position vector: every state, index and checkpoint, byte by byte.

Not compared, because they differ by their nature: of `meta`, owner, epoch, seal and revision (who wrote, and how often),
the numbers of the outbox (how often something was derived here) and the hints (where a next owner begins to look);
probe permits (leases of gateways, which end by themselves). The outbox has to be empty in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import orjson

from processors.retry import until_done
from projections.live.checkpoint import Checkpoint
from projections.live.digest import Comparison
from projections.live.slots import Slot
from projections.live.store import LiveStore

READ_AT_ONCE = 500
NOT_COMPARED = frozenset({"meta", "permits"})
"""Kinds of keys that are no states. What matters of `meta` is compared as the key `checkpoint`."""


async def compare(live: LiveStore, new: LiveStore, slots: Sequence[Slot]) -> Comparison:
    """All keys of the slots in both generations. Nobody may write to them meanwhile."""
    comparison = Comparison()
    held, rebuilt = await _keys(live, slots), await _keys(new, slots)
    for slot in slots:
        keys = sorted(held[slot] | rebuilt[slot])
        for first in range(0, len(keys), READ_AT_ONCE):
            some = keys[first : first + READ_AT_ONCE]
            comparison.add(str(slot), await _read(live, slot, some), await _read(new, slot, some))
        comparison.add(str(slot), await _checkpoint(live, slot), await _checkpoint(new, slot))
    return comparison


async def _keys(store: LiveStore, slots: Iterable[Slot]) -> Mapping[Slot, set[str]]:
    by_prefix = {store.keyspace.prefix(slot): slot for slot in slots}

    async def walk() -> Mapping[Slot, set[str]]:
        found: defaultdict[Slot, set[str]] = defaultdict(set)
        async for page in store.connection.scan(store.keyspace.beginning):
            for name in page:
                tag, _, key = name.partition("}:")
                slot = by_prefix.get(f"{tag}}}:")
                if slot is not None and key.partition(":")[0] not in NOT_COMPARED:
                    found[slot].add(key)
        return found

    return await until_done("live", walk)


async def _read(store: LiveStore, slot: Slot, keys: Sequence[str]) -> dict[str, bytes]:
    """Values by key. A set is the sorted list of its members; a key of a wrong type is what its type says."""
    prefix = store.keyspace.prefix(slot)
    values = await until_done("live", lambda: store.read(slot, keys))
    others = [key for key in keys if key not in values]
    types = await until_done(
        "live", lambda: store.connection.batch([("TYPE", prefix + key) for key in others])
    )
    for key, kind in zip(others, types, strict=True):
        if kind == b"set":
            members = await until_done("live", partial(store.connection.command, "SMEMBERS", prefix + key))
            values[key] = orjson.dumps(sorted(member.decode(errors="replace") for member in members))
        elif kind != b"none":
            values[key] = orjson.dumps(f"a {kind.decode()}")
    return values


async def _checkpoint(store: LiveStore, slot: Slot) -> dict[str, bytes]:
    held: Checkpoint = (await until_done("live", lambda: store.checkpoints((slot,))))[slot]
    next_offsets = {topic: offset for topic, offset in held.next_offsets.items() if offset}
    said = {"next": next_offsets, "clock_us": held.clock_us}
    return {"checkpoint": orjson.dumps(said, option=orjson.OPT_SORT_KEYS)}
