"""The log as the API holds it: a publisher that comes when the broker does, and the ends of the topics."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Self

import structlog

from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import LogUnavailableError
from events.group_offsets import GroupOffsets
from events.log_ends import LogEnds
from events.publisher import Publisher
from events.registry import Registry
from events.settings import LogSettings

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

_log = structlog.get_logger(__name__)


class LogPort:
    """Opens at once, with broker and registry or without them; until both were reached, `publisher` raises
    LogUnavailableError.

    Once connected, the producer finds a broker that was away by itself.
    """

    def __init__(self, settings: LogSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._codec = Codec(registry)
        self._publisher: Publisher | None = None
        self._why = "it was not reached yet"
        self._connecting: asyncio.Task[None] | None = None
        self.ends = LogEnds(settings)
        self.groups = GroupOffsets(settings)

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect(), name="log-connect")
        # A broker that is there answers at once; the first requests need not see a 503.
        await asyncio.wait([self._connecting], timeout=FIRST_PAUSE_S * 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        if self._publisher is not None:
            await self._publisher.__aexit__(None, None, None)
        await self.ends.__aexit__(None, None, None)
        await self.groups.__aexit__(None, None, None)

    @property
    def publisher(self) -> Publisher:
        """The publisher; LogUnavailableError while the broker was never reached."""
        if self._publisher is None:
            raise LogUnavailableError(f"the log at {self._settings.bootstrap} is away: {self._why}")
        return self._publisher

    async def _connect(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            publisher = Publisher(self._settings, self._codec)
            try:
                # A registry is asked with blocking calls: here, so that no request ever has to.
                await asyncio.to_thread(self._learn_ids)
                await publisher.__aenter__()
            except Exception as error:  # noqa: BLE001 - whatever it is may pass, and requests are told of it
                self._why = str(error) or repr(error)
                _log.warning("the log is away", error=self._why)
            else:
                self._publisher = publisher
                return
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _learn_ids(self) -> None:
        for topic in TOPICS.values():
            self._registry.newest(topic)
