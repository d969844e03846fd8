"""The embedded stack: several servers over one data folder, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from .broker import BrokerServer
from .chroma import ChromaServer
from .lock import FolderLock
from .postgres import PostgresServer
from .server import Server
from .valkey import ValkeyServer

# The servers of a stack that was killed need a moment to end.
LOCK_WITHIN_S = 2.0


class Part(StrEnum):
    """What can be started; the value names its folder."""

    BROKER = "broker"
    VALKEY = "valkey"
    POSTGRES = "postgres"
    CHROMA = "chroma"


ALL_PARTS = frozenset(Part)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts listen; None for a part that was not asked for."""

    broker: str | None = None
    valkey: str | None = None
    postgres: str | None = None
    chroma: str | None = None


@dataclass(frozen=True, slots=True)
class PartExit:
    """A part that ended. A negative exit code is the signal that ended it."""

    part: Part
    exit_code: int
    log_path: Path
    log_tail: str


class EmbeddedStack:
    """Use it as `async with EmbeddedStack(folder) as stack`, and watch `stack.wait_exit()`.

    The broker and Valkey start empty each time; what Postgres and Chroma hold stays in the folder.
    """

    def __init__(self, data_folder: Path, parts: Iterable[Part] = ALL_PARTS) -> None:
        self.data_folder = data_folder
        self._parts = sorted(set(parts), key=list(Part).index)
        self._lock = FolderLock(data_folder / "stack.lock")
        self._servers: dict[Part, Server] = {}

    @property
    def addresses(self) -> Addresses:
        return Addresses(**{part.value: server.address for part, server in self._servers.items()})

    def address(self, part: Part) -> str:
        """Where that part listens; KeyError when it was not asked for."""
        return self._servers[part].address

    def server(self, part: Part) -> Server:
        """That part by itself, to kill or restart it in a test."""
        return self._servers[part]

    async def start(self) -> None:
        """Start all parts at once. FolderInUseError when another stack has the folder; on any error nothing runs on."""
        await self._lock.acquire(LOCK_WITHIN_S)
        try:
            self._servers = {part: self._server(part) for part in self._parts}
            await _all_end([server.start() for server in self._servers.values()])
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all parts at once, then give the folder back. Nothing happens the second time."""
        try:
            await _all_end([server.stop() for server in self._servers.values()])
        finally:
            self._lock.release()

    async def wait_exit(self) -> PartExit:
        """The first part that ends, for a supervisor to stop the rest. Cancel it before an intended stop."""
        waits = {asyncio.create_task(server.wait_exit()): part for part, server in self._servers.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        first = done.pop()
        child = self._servers[waits[first]].child
        return PartExit(waits[first], first.result(), child.log_path, child.log_tail())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _server(self, part: Part) -> Server:
        folder, held = self.data_folder / part.value, (self._lock.fileno,)
        match part:
            case Part.BROKER:
                return BrokerServer(folder, keep_open=held)
            case Part.VALKEY:
                return ValkeyServer(folder, keep_open=held)
            case Part.POSTGRES:
                return PostgresServer(folder, keep_open=held)
            case Part.CHROMA:
                return ChromaServer(folder, keep_open=held)


async def _all_end(works: Sequence[Awaitable[None]]) -> None:
    """Wait until all have ended, then raise the first error of any."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
