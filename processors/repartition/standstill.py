"""Waiting until the old deployment stands still: nobody appends, and its workers have folded and published all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from events.log_ends import LogEnds
from events.positions import Partition
from events.settings import LogSettings
from processors.repartition.errors import NotStillError
from processors.retry import until_done
from projections.live.slots import Slot
from projections.live.store import LiveStore

STILL_S = 2.0
"""So long the log's ends have to stay where they are."""
ASK_EVERY_S = 0.25
SAY_EVERY_S = 10.0
NAMED = 3


@dataclass(frozen=True, slots=True)
class OldDeployment:
    """The old log and its live state, as they are looked at."""

    log: LogSettings
    ends: LogEnds
    store: LiveStore
    slots: Sequence[Slot]
    topics: Sequence[str]
    """Those that are there."""

    async def log_ends(self) -> dict[Partition, int]:
        """Where every partition of the log ends now."""
        places = [Partition(topic, number) for topic in self.topics for number in range(self.log.partitions)]
        ends = await self.ends.ends(places)
        return {place: ends[place] for place in places}

    async def behind(self, log_ends: dict[Partition, int]) -> list[str]:
        """What the workers have still to do, up to these ends."""
        held = await until_done("live", lambda: self.store.checkpoints(self.slots))
        found = []
        for slot, at in held.items():
            if at.outbox_seq != at.published_seq:
                found.append(f"{slot} has {at.outbox_seq - at.published_seq} derived events to publish")
            found += [
                f"{slot} has folded {place} up to {folded} of {end}"
                for place in slot.partitions
                if (folded := at.next_offsets.get(place.topic, 0)) != (end := log_ends.get(place, 0))
            ]
        return found

    async def stands_still(self, wait_s: float, told: Callable[[str], None]) -> None:
        """Return when it does; NotStillError after so long. `told` is given what is waited for, now and then."""
        loop = asyncio.get_running_loop()
        deadline_s, say_s = loop.time() + wait_s, loop.time() + STILL_S
        ends, since_s = await self.log_ends(), loop.time()
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            now = await self.log_ends()
            if now != ends:
                ends, since_s = now, loop.time()
            left = await self.behind(now)
            if not left and loop.time() - since_s >= STILL_S:
                return
            if loop.time() > deadline_s:
                raise NotStillError(
                    f"the old deployment did not stand still within {wait_s:g} s: {_said(left)}. Stop all producers and the API, "
                    "leave the workers on until they have folded all, and run it again: it goes on"
                )
            if loop.time() > say_s:
                told(f"waiting: {_said(left)}")
                say_s = loop.time() + SAY_EVERY_S


def _said(left: Sequence[str]) -> str:
    if not left:
        return "somebody appends to the log still: stop all producers"
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return f"{'; '.join(left[:NAMED])}{more}: its workers have to run until then"
