"""Make another generation live that is there already: the way back after a cut-over, or forward to a mended one."""

from __future__ import annotations

from dataclasses import dataclass

from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.handover import sealed
from processors.rebuild.plan import parts_of
from projections.live.generations import GenerationError, Generations
from projections.live.lock import GenerationLock
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore


@dataclass(frozen=True, slots=True)
class Switched:
    """`behind` is how many records the workers have to fold in the generation that is live now."""

    before: int
    generation: int
    behind: int


async def switch(
    log: LogSettings, follower: LiveStore, publisher: Publisher, generation: int, *, although_behind: bool
) -> Switched:
    """Name a generation live, at a barrier, so that nothing that was decided in the other one is decided again.

    GenerationError when it is live already, holds nothing, or is behind the live one and may not be; LogStartGoneError when
    the log no longer has what it would have to catch up with. LockedError when another command works on the generations.
    """
    settings = follower.settings
    generations = Generations(follower.connection, settings.namespace)
    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(log.partitions)]
    async with GenerationLock(follower.connection, settings.namespace) as lock:
        live = await generations.live()
        if generation == live:
            raise GenerationError(f"generation {generation} is live already")
        known = (await generations.known()).get(generation)
        if known is not None and known.until is not None:
            raise GenerationError(
                f"generation {generation} is as of an earlier time, to look at: `interlock rebuild live` builds one to switch to"
            )
        async with (
            LiveStore(settings.model_copy(update={"generation": live})) as old,
            LiveStore(settings.model_copy(update={"generation": generation})) as new,
        ):
            held = await new.checkpoints(slots)
            if not any(each.next_offsets for each in held.values()):
                raise GenerationError(f"generation {generation} holds nothing: `interlock generations list`")
            starts = {slot: each.next_offsets for slot, each in held.items()}
            async with sealed(old, slots, publisher, lock.token) as targets:
                ends = {slot: target.next_offsets for slot, target in targets.items()}
                behind = sum(part.records for part in await parts_of(LogReader(log), slots, starts, ends))
                if behind and not although_behind:
                    raise GenerationError(
                        f"generation {generation} is {behind:,} records behind the live one: rebuild a new one, or switch "
                        "with --force and let the workers catch up"
                    )
                await generations.cut_over(lock.token, live, generation)
    return Switched(live, generation, behind)


async def drop(follower: LiveStore, generation: int) -> int:
    """Delete a generation that is not live; how many keys it had. GenerationError, LockedError."""
    namespace = follower.settings.namespace
    generations = Generations(follower.connection, namespace)
    async with GenerationLock(follower.connection, namespace):
        if generation not in await generations.held() and generation not in await generations.known():
            raise GenerationError(f"there is no generation {generation}: `interlock generations list`")
        return await generations.drop(generation)
