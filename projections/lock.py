"""A lock that its holder renews: one at a time, and gone soon after its holder is."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from projections.errors import LiveUnavailableError, ProjectionError, SinkUnavailableError

T = TypeVar("T")

LASTS_S = 10.0
RENEW_EVERY_S = LASTS_S / 4
_AWAY = (LiveUnavailableError, SinkUnavailableError)


class LockedError(ProjectionError):
    """Another command does the same, or what must not be done beside it."""


class LockLostError(ProjectionError):
    """The lock ended under its holder, who has to stop: another may hold it by now."""


def new_token() -> str:
    """Names this process, and differs at each call."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


class RenewedLock(ABC):
    """Held inside `async with`, and renewed meanwhile. LockedError when somebody else holds it.

    `what` is what its holder works on, as people call it.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.token = new_token()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.take()
        self._renewing = asyncio.create_task(self._renew(), name=f"lock of the {self.what}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        with suppress(*_AWAY):
            await self.let_go()

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

    def held_by(self, holder: str) -> LockedError:
        """What is said when the token of another is there."""
        return LockedError(
            f"another command works on the {self.what}: {holder.rpartition(':')[0] or holder}; wait until it has "
            f"ended, or {LASTS_S:g} s when it was killed, and try again"
        )

    @abstractmethod
    async def take(self) -> None:
        """Become the holder; LockedError."""

    @abstractmethod
    async def renew(self) -> bool:
        """Make it last `LASTS_S` from now on; False when it is no longer ours."""

    @abstractmethod
    async def let_go(self) -> None:
        """Free it, if it is ours."""

    async def _renew(self) -> None:
        """Until cancelled; LockLostError when the lock is gone or was not renewed for as long as it lasts."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + LASTS_S
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            asked_s = loop.time()
            try:
                held = await self.renew()
            except _AWAY as error:
                if loop.time() < ends_s:
                    continue
                raise LockLostError(f"the lock of the {self.what} could not be renewed: {error}") from error
            if not held:
                raise LockLostError(
                    f"the lock of the {self.what} is lost: this process was held up, or its store was emptied"
                )
            ends_s = asked_s + LASTS_S
