"""Make another generation live that is there already: the way back after a cut-over, or forward to a mended one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.handover import sealed
from processors.rebuild.plan import parts_of
from projections.live.generations import GenerationError, Generations, Held
from projections.live.lock import GenerationLock
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore

Offsets = Mapping[Slot, Mapping[str, int]]
"""The next offset of each topic, by slot."""


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
    generations = Generations(follower.connection, follower.settings.namespace)
    slots = _slots(log)
    async with GenerationLock(follower.connection, follower.settings.namespace) as lock:
        live = await generations.live()
        starts = await _starts(follower, slots, generation)
        async with (
            _store(follower, live) as old,
            sealed(old, slots, publisher, lock.token) as targets,
        ):
            ends = {slot: target.next_offsets for slot, target in targets.items()}
            behind = await _behind(log, starts, ends, generation, although_behind=although_behind)
            await generations.cut_over(lock.token, live, generation)
    return Switched(live, generation, behind)


async def plan_switch(
    log: LogSettings, follower: LiveStore, generation: int, *, although_behind: bool
) -> Switched:
    """What `switch` would come to now, and its errors; nothing is changed, and another command may be at work."""
    live = await Generations(follower.connection, follower.settings.namespace).live()
    slots = _slots(log)
    starts = await _starts(follower, slots, generation)
    async with _store(follower, live) as old:
        ends = {slot: each.next_offsets for slot, each in (await old.checkpoints(slots)).items()}
    behind = await _behind(log, starts, ends, generation, although_behind=although_behind)
    return Switched(live, generation, behind)


async def drop(follower: LiveStore, generation: int) -> int:
    """Delete a generation that is not live; how many keys it had. GenerationError, LockedError."""
    generations = Generations(follower.connection, follower.settings.namespace)
    async with GenerationLock(follower.connection, follower.settings.namespace):
        await plan_drop(follower, generation)
        return await generations.drop(generation)


async def plan_drop(follower: LiveStore, generation: int) -> Held:
    """What `drop` would delete, and its errors; nothing is changed."""
    generations = Generations(follower.connection, follower.settings.namespace)
    await generations.require_not_live(generation)
    held = await generations.held()
    if generation not in held and generation not in await generations.known():
        raise GenerationError(f"there is no generation {generation}: `interlock generations list`")
    return held.get(generation, Held())


def _slots(log: LogSettings) -> list[Slot]:
    return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(log.partitions)]


def _store(follower: LiveStore, generation: int) -> LiveStore:
    return LiveStore(follower.settings.model_copy(update={"generation": generation}))


async def _starts(follower: LiveStore, slots: Sequence[Slot], generation: int) -> Offsets:
    """From where a generation that can be made live would be folded on."""
    generations = Generations(follower.connection, follower.settings.namespace)
    if generation == await generations.live():
        raise GenerationError(f"generation {generation} is live already")
    known = (await generations.known()).get(generation)
    if known is not None and known.until is not None:
        raise GenerationError(
            f"generation {generation} is as of an earlier time, to look at: `interlock rebuild live` builds one to switch to"
        )
    async with _store(follower, generation) as new:
        held = await new.checkpoints(slots)
    if not any(each.next_offsets for each in held.values()):
        raise GenerationError(f"generation {generation} holds nothing: `interlock generations list`")
    return {slot: each.next_offsets for slot, each in held.items()}


async def _behind(
    log: LogSettings, starts: Offsets, ends: Offsets, generation: int, *, although_behind: bool
) -> int:
    """How many records it would have to be folded with; GenerationError when there are some and none may be."""
    behind = sum(part.records for part in await parts_of(LogReader(log), list(starts), starts, ends))
    if behind and not although_behind:
        raise GenerationError(
            f"generation {generation} is {behind:,} records behind the live one: rebuild a new one, or switch "
            "with --force and let the workers catch up"
        )
    return behind
