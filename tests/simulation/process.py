"""A process of the simulation: what it does to the world may be late, lost, unanswered, or its last act.

Every touch of a port is two steps, one before it takes effect and one after. Between two steps a process changes nothing
that another can see, so to be killed, paused or cut off at each step is to be so at every await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, TypeVar

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone; nothing that it still tries has an effect."""


class Fate(Enum):
    """What happens to a process at one step."""

    GO_ON = auto()
    CUT_OFF = auto()
    """No answer comes: before the effect it never happens, after it the caller does not learn of it."""
    KILL = auto()
    KILL_IN_FLIGHT = auto()
    """Killed while its request is under way: it takes effect a while later."""
    PAUSE = auto()
    """Stopped for long: others take over, and then it goes on as if nothing had been."""


class Fates(Protocol):
    """Decides what happens at each step. Deterministic: from a seed, or from the step's number."""

    def at(self, process: Process, what: str) -> Fate:
        """The fate of the process at this step."""
        ...

    def latency_s(self) -> float:
        """How long a step takes."""
        ...

    def pause_s(self) -> float:
        """How long a paused process stands still."""
        ...


@dataclass(slots=True)
class Process:
    """One worker process. `steps` is how often it touched the world, `trace` by what."""

    name: str
    fates: Fates
    on_kill: Callable[[Process], None]
    on_pause: Callable[[Process], None]
    alive: bool = True
    steps: int = 0
    paused_until_s: float = 0.0
    trace: list[str] = field(default_factory=list)

    async def call(self, what: str, effect: Callable[[], T], cut_off: Callable[[str], Exception]) -> T:
        """Let the effect happen, or not, and the caller learn of it, or not. `cut_off` makes the error for silence.

        A caller that loses patience does not call its request back: it happens all the same.
        """
        request = asyncio.ensure_future(self._request(what, effect, cut_off))
        request.add_done_callback(_forget)
        return await asyncio.shield(request)

    async def _request(self, what: str, effect: Callable[[], T], cut_off: Callable[[str], Exception]) -> T:
        fate = await self._step(f"{what} >")
        if fate is Fate.KILL_IN_FLIGHT:
            asyncio.get_running_loop().call_later(self.fates.latency_s(), effect)
        if fate in {Fate.KILL, Fate.KILL_IN_FLIGHT}:
            self.kill()
            raise Killed(self.name)
        if fate is Fate.CUT_OFF:
            raise cut_off(f"{what} was not answered")
        result = effect()
        fate = await self._step(f"{what} <")
        if fate in {Fate.KILL, Fate.KILL_IN_FLIGHT}:
            self.kill()
            raise Killed(self.name)
        if fate is Fate.CUT_OFF:
            raise cut_off(f"the answer of {what} was lost")
        return result

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive:
            self.alive = False
            self.on_kill(self)

    async def _step(self, what: str) -> Fate:
        loop = asyncio.get_running_loop()
        self._look()
        fate = self.fates.at(self, what)
        self.steps += 1
        self.trace.append(what)
        if fate is Fate.PAUSE:
            self.paused_until_s = loop.time() + self.fates.pause_s()
            self.on_pause(self)
        await asyncio.sleep(self.fates.latency_s())
        while loop.time() < self.paused_until_s:  # noqa: ASYNC110 - a pause may be made longer meanwhile
            await asyncio.sleep(self.paused_until_s - loop.time())
        self._look()
        return fate

    def _look(self) -> None:
        if not self.alive:
            raise Killed(self.name)


def _forget(request: asyncio.Future[T]) -> None:
    """Nobody may be there any more to hear how it ended."""
    if not request.cancelled():
        request.exception()
