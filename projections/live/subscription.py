"""One subscription to channels of Redis, over one connection: it is whole, or it is lost and says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.asyncio.client import PubSub

from projections.errors import LiveUnavailableError
from projections.live.failures import REDIS_FAILURES, in_our_terms
from projections.settings import LiveSettings


@dataclass(frozen=True, slots=True)
class Message:
    """What was published on a channel."""

    channel: str
    data: bytes


class Subscription:
    """Messages of channels from the moment it is open. Any doubt that one was missed is LiveUnavailableError."""

    def __init__(self, pubsub: PubSub, settings: LiveSettings) -> None:
        self._pubsub = pubsub
        self._settings = settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self, channels: Sequence[str]) -> None:
        """Returns once the server has confirmed every channel; messages from before that are dropped."""
        await self._pubsub.subscribe(*channels)
        awaited = len(channels)
        while awaited:
            reply = await self._pubsub.get_message(timeout=self._settings.command_timeout_s)
            awaited -= reply is not None and reply["type"] == "subscribe"

    async def close(self) -> None:
        """End it. The connection is closed, not used again."""
        try:
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]
        except REDIS_FAILURES as error:
            raise in_our_terms(error, self._settings.redis_url) from error

    async def receive(self) -> Message:
        """The next message, however long it takes; a silent server has to answer a ping within the heartbeat."""
        asked = False
        while True:
            reply = await self._reply()
            if reply is None:
                if asked:
                    raise LiveUnavailableError("the subscription to Redis gives no sign of life")
                await self._ping()
                asked = True
            elif reply["type"] == "message":
                return Message(reply["channel"].decode(), reply["data"])
            elif reply["type"] == "subscribe":
                # The client connected again by itself: what was published meanwhile is not known.
                raise LiveUnavailableError("the subscription to Redis was interrupted")
            else:
                asked = False

    async def _reply(self) -> Any:
        try:
            return await self._pubsub.get_message(timeout=self._settings.push_heartbeat_s)
        except REDIS_FAILURES as error:
            raise in_our_terms(error, self._settings.redis_url) from error

    async def _ping(self) -> None:
        try:
            await self._pubsub.ping()
        except REDIS_FAILURES as error:
            raise in_our_terms(error, self._settings.redis_url) from error
