"""The push: what commits announce, given to listeners in this process, over a subscription renewed for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

import structlog

from projections.errors import ProjectionError
from projections.live.change import Change
from projections.live.keys import generation_key
from projections.live.store import LiveStore

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told. The calls come in order, and must neither wait nor raise."""

    def subscribed(self) -> None:
        """From now on every change is told, until `lost`."""

    def changed(self, change: Change) -> None:
        """A commit changed this."""

    def lost(self) -> None:
        """Changes may be missed from some moment before now on."""


class Changes:
    """Follows the live generation: after a cut-over the subscription is lost, then made to the new one."""

    def __init__(self, store: LiveStore, listeners: Sequence[Listener]) -> None:
        self._store = store
        self._listeners = tuple(listeners)
        self._task: asyncio.Task[None] | None = None
        self._was_subscribed = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(), name="live-changes")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def run(self) -> None:
        """Listen until cancelled. A pause between two attempts doubles up to its bound, and has jitter."""
        settings = self._store.settings
        pause_s = settings.retry_min_s
        while True:
            try:
                await self._listen()
                pause_s = settings.retry_min_s
                continue
            except (ProjectionError, ValueError) as error:
                _log.warning("live.push_lost", error=str(error))
            pause_s = settings.retry_min_s if self._was_subscribed else min(2 * pause_s, settings.retry_max_s)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _listen(self) -> None:
        """Until the generation changes (returns) or the subscription is lost (raises)."""
        self._was_subscribed = False
        generation = await self._store.follow()
        cut_over = generation_key(self._store.settings.namespace)
        subscription = await self._store.connection.subscribe(self._store.keyspace.channel, cut_over)
        async with subscription:
            if await self._store.follow() != generation:
                return
            self._was_subscribed = True
            try:
                for listener in self._listeners:
                    listener.subscribed()
                while (message := await subscription.receive()).channel != cut_over:
                    change = Change.from_json(message.data)
                    for listener in self._listeners:
                        listener.changed(change)
            finally:
                for listener in self._listeners:
                    listener.lost()
