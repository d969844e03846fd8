"""The lock of those who build, name or drop generations: one at a time, and gone soon after its holder is."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from projections.errors import LiveUnavailableError, ProjectionError
from projections.live.connection import LiveConnection
from projections.live.keys import lock_key

T = TypeVar("T")

LASTS_S = 10.0
_RENEWALS_PER_LIFE = 4


class LockedError(ProjectionError):
    """Another command builds, names or drops generations now."""


class LockLostError(ProjectionError):
    """The lock ended under its holder, who has to stop: another may hold it by now."""


def new_token() -> str:
    """Names this process, and differs at each call."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


class GenerationLock:
    """Held inside `async with`, and renewed meanwhile. LockedError when somebody else holds it."""

    def __init__(self, connection: LiveConnection, namespace: str) -> None:
        self._connection = connection
        self._key = lock_key(namespace)
        self.token = new_token()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        milliseconds = int(LASTS_S * 1000)
        taken = await self._connection.command("SET", self._key, self.token, "NX", "PX", milliseconds)
        if not taken:
            holder = (await self._connection.command("GET", self._key) or b"nobody any more").decode()
            raise LockedError(
                f"another command works on the generations: {holder.rpartition(':')[0] or holder}; wait until it has "
                f"ended, or {LASTS_S:g} s when it was killed, and try again"
            )
        self._renewing = asyncio.create_task(self._renew(), name="generation-lock")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        with suppress(LiveUnavailableError):
            await self._connection.function("release", (self._key,), (self.token,))

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and give it up with LockLostError as soon as the lock is lost."""
        assert self._renewing is not None
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait({working, self._renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self._renewing.result()
            return await working
        finally:
            working.cancel()
            await asyncio.wait([working])

    async def _renew(self) -> None:
        """Until cancelled; LockLostError when the lock is gone or was not renewed for as long as it lasts."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + LASTS_S
        while True:
            await asyncio.sleep(LASTS_S / _RENEWALS_PER_LIFE)
            asked_s = loop.time()
            try:
                held = await self._connection.function(
                    "renew", (self._key,), (self.token, int(LASTS_S * 1000))
                )
            except LiveUnavailableError as error:
                if loop.time() < ends_s:
                    continue
                raise LockLostError(f"the lock of the generations could not be renewed: {error}") from error
            if not held:
                raise LockLostError(
                    "the lock of the generations is lost: this process was held up, or Redis was flushed"
                )
            ends_s = asked_s + LASTS_S
