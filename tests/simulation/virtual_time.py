"""An event loop whose clock jumps: a sleep costs nothing, and the same coroutines always run in the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
START_US = 1_700_000_000_000_000
"""The instant at which every simulation begins."""


class DeadlockError(Exception):
    """Everything waits, and no timer will ever wake it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing outside is waited for: whenever nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Move the clock on."""
        self._now_s += seconds


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("nothing is ready and nothing is scheduled")
        self._loop.jump(max(timeout, 0.0))
        return []


def now_us() -> int:
    """The virtual instant, microseconds since the epoch. Only within a simulation."""
    return START_US + round(asyncio.get_running_loop().time() * 1_000_000)


def run(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
