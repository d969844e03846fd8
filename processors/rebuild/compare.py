"""Compare two generations at one position vector: every state, index and checkpoint, byte by byte.

Not compared, because they differ by their nature: of `meta`, owner, epoch, seal and revision (who wrote, and how often),
the numbers of the outbox (how often something was derived here) and the hints (where a next owner begins to look);
probe permits (leases of gateways, which end by themselves). The outbox has to be empty in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from processors.retry import until_done
from projections.live.checkpoint import Checkpoint
from projections.live.digest import Comparison
from projections.live.look import KEYS_AT_ONCE, Look, keys_of, look
from projections.live.slots import Slot
from projections.live.store import LiveStore

NOT_COMPARED = frozenset({"meta", "permits"})
"""Kinds of keys that are no states. What matters of `meta` is compared as the key `checkpoint`."""


async def compare(live: LiveStore, new: LiveStore, slots: Sequence[Slot]) -> Comparison:
    """All keys of the slots in both generations. Nobody may write to them meanwhile."""
    comparison = Comparison()
    held, rebuilt = await _keys(live, slots), await _keys(new, slots)
    for slot in slots:
        keys = sorted(held.get(slot, set()) | rebuilt.get(slot, set()))
        for first in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[first : first + KEYS_AT_ONCE]
            ours, theirs = await _look(live, slot, some), await _look(new, slot, some)
            comparison.add(str(slot), ours.values, theirs.values)
        ours, theirs = await _look(live, slot, ()), await _look(new, slot, ())
        comparison.add(str(slot), _checkpoint(ours.checkpoint), _checkpoint(theirs.checkpoint))
    return comparison


async def _keys(store: LiveStore, slots: Sequence[Slot]) -> Mapping[Slot, set[str]]:
    return await until_done("live", lambda: keys_of(store, slots, NOT_COMPARED))


async def _look(store: LiveStore, slot: Slot, keys: Sequence[str]) -> Look:
    return await until_done("live", lambda: look(store, slot, keys))


def _checkpoint(held: Checkpoint) -> dict[str, bytes]:
    next_offsets = {topic: offset for topic, offset in held.next_offsets.items() if offset}
    said = {"next": next_offsets, "clock_us": held.clock_us}
    return {"checkpoint": orjson.dumps(said, option=orjson.OPT_SORT_KEYS)}
