"""The lock of those who build, name or drop generations."""

from __future__ import annotations

from projections.live.connection import LiveConnection
from projections.live.keys import lock_key
from projections.lock import LASTS_S, RenewedLock

_LASTS_MS = int(LASTS_S * 1000)


class GenerationLock(RenewedLock):
    """A key that Redis drops when it is not renewed. Seals name its token."""

    def __init__(self, connection: LiveConnection, namespace: str) -> None:
        super().__init__("generations")
        self._connection = connection
        self._key = lock_key(namespace)

    async def take(self) -> None:
        taken = await self._connection.command("SET", self._key, self.token, "NX", "PX", _LASTS_MS)
        if not taken:
            holder = await self._connection.command("GET", self._key) or b"nobody any more"
            raise self.held_by(holder.decode())

    async def renew(self) -> bool:
        return bool(await self._connection.function("renew", (self._key,), (self.token, _LASTS_MS)))

    async def let_go(self) -> None:
        await self._connection.function("release", (self._key,), (self.token,))
