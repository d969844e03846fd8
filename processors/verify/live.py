"""The live state against a naive fold of the log: all of it, as the command line does it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.codec import Codec
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.progress import Progress
from processors.verify.errors import SlotMovedError
from processors.verify.pace import Share
from processors.verify.slot_proof import Means, SlotProof
from projections.live.digest import LIVE_AND_LOG, Comparison
from projections.live.generations import Generations
from projections.live.look import keys_of
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

MOST_TRIES = 3
NOT_COMPARED = frozenset({"meta", "outbox", "permits"})
"""Kinds of keys that are no states: who wrote, what is under way, leases. Of `meta` the clock is compared, as `checkpoint`."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. `vectors` is by slot where it was compared last; `records` how many were folded for it."""

    generation: int
    comparison: Comparison
    vectors: Mapping[Slot, Mapping[str, int]]
    records: int
    took_s: float

    @property
    def differing(self) -> tuple[Slot, ...]:
        """The slots that hold something else than the log says."""
        return tuple(dict.fromkeys(Slot.parse(one.slot) for one in self.comparison.differences))


async def live_generation(live: LiveSettings) -> LiveSettings:
    """The settings of a store that stays with one generation: with the one that they name, else that which is live now."""
    if live.generation is not None:
        return live
    async with LiveStore(live) as follower:
        generation = await Generations(follower.connection, live.namespace).live()
    return live.model_copy(update={"generation": generation})


async def verify_live(
    log: LogSettings,
    live: LiveSettings,
    codec: Codec,
    progress: Progress,
    slots: Sequence[Slot],
    *,
    reader: LogReader | None = None,
) -> Verified:
    """Compare all keys of the slots with the log, as fast as it goes. `reader` may have the archive in front of it.

    LogStartGoneError, LogEndsEarlyError: the log does not have what the state was folded from. SlotMovedError: a slot went
    back again and again. BrokenSlotError: it does not say where it is.
    """
    started_s = time.monotonic()
    comparison, vectors = Comparison(LIVE_AND_LOG), {}
    async with LiveStore(await live_generation(live)) as store:
        means = Means(log, store, codec, progress, Share(1), reader or LogReader(log))
        for slot in slots:
            for part in await SlotProof.of(slot, means).parts(means):
                progress.expect(slot, part.topic, part.start, part.end)
        keys = await keys_of(store, slots, NOT_COMPARED)
        for slot in slots:
            proof, found = await _proved(slot, means, keys.get(slot, set()))
            vectors[slot] = proof.at
            comparison.merge(found)
        generation = store.keyspace.generation
    return Verified(generation, comparison, vectors, progress.folded, time.monotonic() - started_s)


async def _proved(slot: Slot, means: Means, keys: set[str]) -> tuple[SlotProof, Comparison]:
    """From the beginning, and once more when the slot goes back meanwhile."""
    for _ in range(MOST_TRIES - 1):
        proof = SlotProof.of(slot, means)
        try:
            return proof, await proof.prove(means, keys)
        except SlotMovedError:
            continue
    proof = SlotProof.of(slot, means)
    return proof, await proof.prove(means, keys)
