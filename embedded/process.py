"""One child process: on a leash, with a log file, watched, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import leash
from .errors import StartError

PROBE_EVERY_S = 0.02
TAIL_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class User:
    """Whom a child runs as, when the parent is root and the program refuses to be."""

    uid: int
    gid: int


SAME_USER = User(-1, -1)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run and how. `death_signal` is what it gets when this process dies."""

    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    death_signal: signal.Signals = signal.SIGKILL
    user: User = SAME_USER
    keep_open: Sequence[int] = ()


class Child:
    """A running child process, leader of a session of its own, so that a Ctrl-C at the terminal is for the parent only.

    The child lives as long as the thread that spawned it at most: spawn from the thread that runs the event loop.
    """

    def __init__(self, name: str, log_path: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process
        self._group_ended = False

    @classmethod
    async def spawn(cls, name: str, launch: Launch, log_path: Path) -> Self:
        """Start it; stdout and stderr are appended to the log file, stdin is empty."""
        user = launch.user
        leashed = [sys.executable, "-I", "-S", leash.__file__]
        leashed += [str(number) for number in (os.getpid(), launch.death_signal.value, user.uid, user.gid)]
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *leashed,
                *launch.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=launch.environment,
                start_new_session=True,
                pass_fds=launch.keep_open,
            )
        return cls(name, log_path, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await self._process.wait()

    async def until(self, answers: Callable[[], Awaitable[bool]], within_s: float) -> None:
        """Return as soon as the probe says yes; StartError when the child exits first or the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while self.exit_code is None:
                    if await answers():
                        return
                    await asyncio.sleep(PROBE_EVERY_S)
        except TimeoutError:
            raise self.failure(f"did not answer within {within_s:g} s") from None
        raise self.failure(f"exited with {self.exit_code}")

    async def finish(self, within_s: float) -> None:
        """Wait for a program that ends by itself; StartError when it fails or takes longer."""
        try:
            async with asyncio.timeout(within_s):
                code = await self.wait()
        except TimeoutError:
            raise self.failure(f"did not end within {within_s:g} s") from None
        if code != 0:
            raise self.failure(f"exited with {code}")

    def send(self, signal_number: signal.Signals) -> None:
        """Send that signal to the process itself; no error when it has ended."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal_number)

    async def stop(self, within_s: float = 10.0, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, then kill what is left of its group. Returns the exit code."""
        self.send(how)
        try:
            async with asyncio.timeout(within_s):
                await self.wait()
        except TimeoutError:
            pass
        finally:  # a cancelled stop leaves nothing behind either
            self._kill_group()
        return await self.wait()

    async def kill(self) -> int:
        """End it and its group at once, as a crash would. Returns the exit code."""
        self._kill_group()
        return await self.wait()

    def failure(self, reason: str) -> StartError:
        """That error about this child, with the end of its log."""
        return StartError(self.name, reason, self.log_path, self.log_tail())

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        with contextlib.suppress(FileNotFoundError), self.log_path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def _kill_group(self) -> None:
        if self._group_ended:
            return  # by now the number may be another's
        self._group_ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
