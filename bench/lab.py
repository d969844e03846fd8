"""Where one measure runs: real servers and programs under one temporary folder, all ended when it closes."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from embedded.process import Child, Launch
from embedded.server import plain_environment
from embedded.stack import EmbeddedStack, Part
from events.broker import create_topics
from events.settings import LogSettings
from projections.settings import LiveSettings

ROOT = Path(__file__).parent.parent
ENDS_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used of the machine at an instant."""

    cpu_s: float
    wall_s: float

    def since(self, before: Usage) -> Usage:
        """The difference."""
        return Usage(self.cpu_s - before.cpu_s, self.wall_s - before.wall_s)


@dataclass(frozen=True, slots=True)
class Program:
    """A running program of `bench.programs`, in a process of its own."""

    child: Child

    def usage(self) -> Usage:
        """CPU seconds of all its threads, and the clock."""
        times = psutil.Process(self.child.pid).cpu_times()
        return Usage(times.user + times.system, time.monotonic())

    def rss_bytes(self) -> int:
        """Memory that it holds."""
        return int(psutil.Process(self.child.pid).memory_info().rss)

    def check(self) -> None:
        """Raises when it has ended."""
        if self.child.exit_code is not None:
            raise self.child.failure(f"exited with {self.child.exit_code}")

    def said(self, word: str) -> bool:
        """Whether a line of its output begins so."""
        self.check()
        return any(line.startswith(word) for line in self.child.log_path.read_text().splitlines())

    async def result(self) -> Any:
        """What it printed last, as JSON, once it has ended by itself."""
        await self.child.finish(ENDS_WITHIN_S)
        return json.loads(self.child.log_path.read_text().splitlines()[-1])


class Lab:
    """Starts the servers; hands out settings on them that share nothing with those of another name."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._programs = 0

    async def settings(self, name: str, partitions: int) -> tuple[LogSettings, LiveSettings]:
        """A log of its own, with its topics, and a live store of its own."""
        log = LogSettings(
            bootstrap=self._stack.address(Part.BROKER),
            topic_prefix=f"{name}.",
            group_id=name,
            partitions=partitions,
        )
        await create_topics(log)
        return log, LiveSettings(redis_url=self._stack.address(Part.VALKEY), namespace=name)

    @asynccontextmanager
    async def program(self, name: str, *arguments: str) -> AsyncIterator[Program]:
        """Run `bench.programs.<name>`; it is ended at the latest when the block is left."""
        self._programs += 1
        child = await Child.spawn(
            name,
            Launch(
                [sys.executable, "-m", f"bench.programs.{name}", *arguments],
                plain_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1"),
            ),
            self._stack.data_folder / f"{self._programs:03}-{name}.log",
        )
        try:
            yield Program(child)
        finally:
            await child.stop()


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    """A lab with a broker and a live store."""
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="interlock-bench-")))
        stack = await resources.enter_async_context(EmbeddedStack(folder, [Part.BROKER, Part.VALKEY]))
        yield Lab(stack)
