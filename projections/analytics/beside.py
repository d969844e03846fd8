"""Sets of collections beside the live one: to build another, and to have it read and written from then on.

Who holds the lock is alone in that. Chroma has no session that would end with its holder, so the lock is a collection that
its holder has say another thing every few seconds; one that has said the same for `LASTS_S` is taken away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from events.positions import Partition
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoint, Checkpoints
from projections.analytics.chroma import Chroma, Metadata
from projections.analytics.documents import COLLECTIONS
from projections.analytics.places import client, full_name
from projections.analytics.sets import Sets, drop_set, name_sets, read_sets, set_of
from projections.analytics.settings import AnalyticsSettings
from projections.lock import LASTS_S, RENEW_EVERY_S, RenewedLock
from projections.made_with import MadeWith

LOCK = "lock"
"""Name of the collection that is there while somebody builds or switches, after the prefix."""

_LOOKS_PER_RENEWAL = 5
_TRIES = 3


class SetsLock(RenewedLock):
    """One at a time of those who build or switch."""

    def __init__(self, chroma: Chroma, settings: AnalyticsSettings) -> None:
        super().__init__("analytics")
        self._chroma = chroma
        self._name = full_name(settings, LOCK)

    async def take(self) -> None:
        holder = ""
        for _ in range(_TRIES):
            if await self._chroma.create(self._name, self._said()):
                return
            held = await self._chroma.about(self._name)
            if held is None:
                continue
            holder = str(held.get("holder", ""))
            if not _has_ended(holder) and await self._is_renewed(held):
                break
            await self._chroma.take_away(self._name)
        raise self.held_by(holder)

    async def renew(self) -> bool:
        return await self._chroma.tell(self._name, self._said())

    async def let_go(self) -> None:
        await self._chroma.take_away(self._name)

    def _said(self) -> Metadata:
        return {"holds": LOCK, "holder": self.token, "told_ns": time.time_ns()}

    async def _is_renewed(self, held: Metadata) -> bool:
        """Whether its holder says something else within the time that a lock lasts."""
        ends_s = asyncio.get_running_loop().time() + LASTS_S
        now: Metadata | None = held
        while now == held and asyncio.get_running_loop().time() < ends_s:
            await asyncio.sleep(RENEW_EVERY_S / _LOOKS_PER_RENEWAL)
            now = await self._chroma.about(self._name)
        return now not in (held, None)


def _has_ended(holder: str) -> bool:
    """Whether it was a process of this machine that is no more. Another machine's shows by its silence."""
    host, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@dataclass(frozen=True, slots=True)
class Beside:
    """The sets on the server. What changes them asks for the lock."""

    chroma: Chroma
    settings: AnalyticsSettings

    async def sets(self) -> Sets:
        """Those that are known."""
        return await read_sets(self.chroma, self.settings)

    async def checkpoints(self, number: int | None) -> Mapping[Partition, Checkpoint]:
        """Of every partition of a set; none when there is no such set."""
        if number is None:
            return {}
        return await Checkpoints(self.chroma, self._name(number, CHECKPOINTS)).all()

    async def made_with(self, number: int | None) -> MadeWith | None:
        """What a set was begun with; None when there is no such set."""
        if number is None:
            return None
        return await Checkpoints(self.chroma, self._name(number, CHECKPOINTS)).made_with()

    async def counts(self, number: int | None) -> dict[str, int]:
        """Documents by collection, of those that are there."""
        if number is None:
            return {}
        return {
            name: await self.chroma.count(self._name(number, name))
            for name in COLLECTIONS
            if await self.chroma.about(self._name(number, name)) is not None
        }

    async def build(self, number: int) -> None:
        """Note the set that is built from now on."""
        await name_sets(self.chroma, self.settings, replace(await self.sets(), built=number))

    async def drop(self, number: int | None) -> None:
        """Remove a set that is not live, if there is one."""
        if number is not None:
            await drop_set(self.chroma, set_of(self.settings, number))

    async def make_live(self, number: int) -> Sets:
        """By one write: that set is live, the one that was so is the one before, and none is built. Returns what is known now.

        A live set that nobody ever wrote is no way back.
        """
        now = await self.sets()
        before = now.live if await self.checkpoints(now.live) else None
        built = None if now.built == number else now.built
        named = Sets(number, before, built)
        await name_sets(self.chroma, self.settings, named)
        return named

    def _name(self, number: int, collection: str) -> str:
        return full_name(set_of(self.settings, number), collection)


@asynccontextmanager
async def beside(settings: AnalyticsSettings) -> AsyncIterator[Beside]:
    """To look at the sets. AnalyticsOffError."""
    chroma = client(settings, settings.request_timeout_s)
    try:
        yield Beside(chroma, settings)
    finally:
        await chroma.close()
