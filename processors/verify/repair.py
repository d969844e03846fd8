"""Repair of the live state: slots that hold something else than the log says are emptied, and folded anew by their workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from events.publisher import Publisher
from processors.rebuild.handover import sealed
from processors.rebuild.target import Target
from processors.verify.errors import NotFoldedError
from projections.live.generations import Generations
from projections.live.lock import GenerationLock
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

ASK_EVERY_S = 0.1
MOVES_WITHIN_S = 30.0
"""Longer than a worker takes to notice that its slot was taken, and to take it up again."""


async def repair(
    live: LiveSettings, publisher: Publisher, slots: Sequence[Slot], told: Callable[[int, int], None]
) -> None:
    """Empty the slots and wait until their workers have folded the log up to where they were.

    At the barrier all that they had decided is on the log: what is folded anew applies it, and decides nothing again.
    `told` is called with (done, total) records. LockedError while another command works on the generations;
    NotFoldedError when no worker takes a slot up, which loses nothing: the next one that runs does.
    """
    async with LiveStore(live) as follower:
        async with GenerationLock(follower.connection, live.namespace) as lock:
            generation = await Generations(follower.connection, live.namespace).live()
            async with (
                LiveStore(live.model_copy(update={"generation": generation})) as store,
                sealed(store, slots, publisher, lock.token) as targets,
            ):
                for slot in slots:
                    await store.wipe(slot)
        await _folded(follower, targets, told)


async def _folded(store: LiveStore, targets: Mapping[Slot, Target], told: Callable[[int, int], None]) -> None:
    loop = asyncio.get_running_loop()
    total = sum(sum(target.next_offsets.values()) for target in targets.values())
    done, deadline_s = -1, loop.time() + MOVES_WITHIN_S
    while done < total:
        await store.follow()
        held = await store.checkpoints(targets)
        before, done = (
            done,
            sum(
                min(offset, held[slot].next_offsets.get(topic, 0))
                for slot, target in targets.items()
                for topic, offset in target.next_offsets.items()
            ),
        )
        told(done, total)
        if done > before:
            deadline_s = loop.time() + MOVES_WITHIN_S
        elif loop.time() > deadline_s:
            raise NotFoldedError(
                f"{', '.join(map(str, targets))} were emptied, and nobody folds them anew: {done:,} of {total:,} records "
                "are folded. Start a worker with `interlock work`, then verify again"
            )
        await asyncio.sleep(ASK_EVERY_S)
