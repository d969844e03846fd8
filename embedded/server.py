"""The shape that all embedded servers share: start, stop, kill, start again on the same port and folder."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from .errors import StartError
from .ports import free_port
from .process import Child, Launch

PORT_ATTEMPTS = 3
# A server is told all it needs by arguments; the user's KAFKA_*, CLUSTER_ID, PG* and such are not meant for it.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "JAVA_HOME")


class Server(ABC):
    """One server over a folder of its own. The port is chosen at the first start when none is given, then kept."""

    name: ClassVar[str]
    start_within_s: ClassVar[float] = 30.0
    stop_within_s: ClassVar[float] = 10.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None, keep_open: Sequence[int] = ()) -> None:
        """`keep_open`: file descriptors that the process inherits, such as a folder's lock."""
        self.folder = folder.resolve()
        self.keep_open = tuple(keep_open)
        self._port = port
        self._child: Child | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client is given."""

    @abstractmethod
    async def prepare(self) -> None:
        """Make the folder ready; it exists already."""

    @abstractmethod
    def launch(self) -> Launch:
        """What to run."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether it serves clients."""

    @property
    def port(self) -> int:
        if self._port is None:
            raise RuntimeError(f"{self.name} was never started, so it has no port")
        return self._port

    @property
    def child(self) -> Child:
        """The process of the last start."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    async def start(self) -> None:
        """Return when it answers; StartError with the end of its log otherwise, and then nothing is left running."""
        if self._child is not None and self._child.exit_code is None:
            raise RuntimeError(f"{self.name} runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        attempts_left = PORT_ATTEMPTS if self._port is None else 1
        while True:
            attempts_left -= 1
            self._port = self._port or free_port()
            try:
                return await self._start_once()
            except StartError:
                if attempts_left == 0 or self.child.exit_code == -signal.SIGKILL:
                    raise
                self._port = None  # it ended by itself: another program may have taken the port in between

    async def stop(self) -> None:
        """End it in order, by force when it takes too long. Nothing happens when it does not run."""
        if self._child is not None:
            await self._child.stop(self.stop_within_s, self.stop_signal)

    async def kill(self) -> None:
        """SIGKILL, as a crash would. Nothing happens when it does not run."""
        if self._child is not None:
            await self._child.kill()

    async def wait_exit(self) -> int:
        """Its exit code, once the process of the last start has ended for whatever reason."""
        return await self.child.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_once(self) -> None:
        self._child = await Child.spawn(self.name, self.launch(), self.log_path)
        try:
            await self._child.until(self.answers, self.start_within_s)
        except BaseException:
            await self._child.kill()
            raise


def plain_environment(**more: str) -> dict[str, str]:
    """The little of this process's environment that servers get, and more."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | more
