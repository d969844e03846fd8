"""The connection to Redis: bounded in time, errors told apart, functions loaded whenever the server lacks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, ResponseError

from projections.live.failures import REDIS_FAILURES, in_our_terms
from projections.live.functions import shipped_library
from projections.live.subscription import Subscription
from projections.settings import LiveSettings

Argument = str | bytes | int | float
Command = Sequence[Argument]

_LOADS_OF_ONE_CALL = 2
_SUBSCRIPTIONS = 8
_SCANNED_AT_ONCE = 1000


class LiveConnection:
    """A pool of connections to one server or one cluster. Every call ends within the settings' bounds."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._library = shipped_library()
        # The client's own pools refuse when they are empty (a cluster's) or count the subscriptions in: wait here.
        self._turns = asyncio.Semaphore(settings.max_connections)
        self._client: Redis | RedisCluster = _client(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._client.aclose()

    async def command(self, *command: Argument) -> Any:
        """The reply to one command. LiveUnavailableError when there is none in time."""
        async with self._bounded():
            return await self._client.execute_command(*command)

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent at once; each is atomic, the batch is not."""
        if not commands:
            return []
        async with self._bounded():
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies = await pipeline.execute()
            return list(replies)

    async def function(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The reply of one of our functions. A server without it (new, or flushed) is given the library."""
        call = ("FCALL", self._library.full_name(name), len(keys), *keys, *arguments)
        async with self._bounded():
            for _ in range(_LOADS_OF_ONE_CALL):
                try:
                    return await self._at_key(keys[0], call)
                except ResponseError as error:
                    if "function not found" not in str(error).lower():
                        raise
                await self._client.function_load(self._library.source, replace=True)
            return await self._at_key(keys[0], call)

    async def keys_with_prefix(self, prefix: str) -> list[str]:
        """All keys that begin so. Walks through the whole keyspace: for maintenance, never for a read."""
        async with self._bounded():
            return [key.decode() async for key in self._client.scan_iter(match=f"{prefix}*", count=1000)]

    async def scan(self, prefix: str) -> AsyncIterator[list[str]]:
        """All keys that begin so, page by page, each page within the bound: for a keyspace of any size."""
        pages = self._client.scan_iter(match=f"{prefix}*", count=_SCANNED_AT_ONCE)
        while True:
            page: list[str] = []
            async with self._bounded():
                async for key in pages:
                    page.append(key.decode())
                    if len(page) == _SCANNED_AT_ONCE:
                        break
            if not page:
                return
            yield page

    async def subscribe(self, *channels: str) -> Subscription:
        """A subscription over a connection of its own; the caller closes it."""
        async with self._bounded():
            subscription = Subscription(self._client.pubsub(), self._settings)
            try:
                await subscription.open(channels)
            except BaseException:
                await subscription.close()
                raise
            return subscription

    async def _at_key(self, key: str, call: Command) -> Any:
        if isinstance(self._client, RedisCluster):
            # Without a target, the client would send the whole call to a server first, to ask for its keys.
            await self._client.initialize()
            node = self._client.get_node_from_key(key)
            return await self._client.execute_command(*call, target_nodes=node)
        return await self._client.execute_command(*call)  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.command_timeout_s), self._turns:
                yield
        except REDIS_FAILURES as error:
            if isinstance(error, ReadOnlyError):
                # The address led to a server that is no primary any more: the next call shall look it up again.
                await self._forget_servers()
            raise in_our_terms(error, self._settings.redis_url) from error

    async def _forget_servers(self) -> None:
        if isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect(inuse_connections=False)


def _client(settings: LiveSettings) -> Redis | RedisCluster:
    once = Retry(NoBackoff(), 0)
    # No socket timeout: with one, the client sends through asyncio.wait_for, which on Python 3.11 loses a cancellation
    # that comes as the send ends, and a bounded wait would go on for ever. `_bounded` bounds every call instead.
    if settings.topology == "cluster":
        return RedisCluster.from_url(
            settings.redis_url,
            socket_connect_timeout=settings.connect_timeout_s,
            socket_timeout=None,
            max_connections=settings.max_connections + _SUBSCRIPTIONS,
            retry=once,
            protocol=2,
        )
    return Redis.from_url(
        settings.redis_url,
        max_connections=settings.max_connections + _SUBSCRIPTIONS,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=None,
        retry=once,
        protocol=2,
    )
