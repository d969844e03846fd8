"""Locks in Redis: of those who build, name or drop generations, and of those who reprice."""

from __future__ import annotations

from projections.live.connection import LiveConnection
from projections.live.keys import lock_key, reprice_lock_key
from projections.lock import LASTS_S, RenewedLock

_LASTS_MS = int(LASTS_S * 1000)


class LiveLock(RenewedLock):
    """A key that Redis drops when it is not renewed. It can be taken on a full server too."""

    def __init__(self, what: str, connection: LiveConnection, key: str) -> None:
        super().__init__(what)
        self._connection = connection
        self._key = key

    async def take(self) -> None:
        holder = (await self._connection.function("take", (self._key,), (self.token, _LASTS_MS))).decode()
        if holder != self.token:
            raise self.held_by(holder)

    async def renew(self) -> bool:
        return bool(await self._connection.function("renew", (self._key,), (self.token, _LASTS_MS)))

    async def let_go(self) -> None:
        await self._connection.function("release", (self._key,), (self.token,))


class GenerationLock(LiveLock):
    """Seals name its token."""

    def __init__(self, connection: LiveConnection, namespace: str) -> None:
        super().__init__("generations", connection, lock_key(namespace))


class RepriceLock(LiveLock):
    """Who holds it alone appends adjustments, and knows all that were appended before."""

    def __init__(self, connection: LiveConnection, namespace: str) -> None:
        super().__init__("adjustments", connection, reprice_lock_key(namespace))
