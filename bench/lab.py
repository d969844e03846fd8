"""Where one measure runs: real servers and programs under one temporary folder, all ended when it closes."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from embedded.kafka import KafkaServer
from embedded.process import Child, Launch
from embedded.server import plain_environment
from embedded.stack import EmbeddedStack, Part
from events.broker import create_topics
from events.settings import LogSettings
from projections.settings import LiveSettings

ROOT = Path(__file__).parent.parent
ENDS_WITHIN_S = 120.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used of the machine until an instant of the clock, or between two."""

    cpu_s: float
    wall_s: float

    def since(self, before: Used) -> Used:
        """The difference."""
        return Used(self.cpu_s - before.cpu_s, self.wall_s - before.wall_s)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took from when it was looked at first until it ended; `peak_bytes` is the most memory it held."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs in a process of its own. Its output is read from the file that it goes to."""

    child: Child

    @property
    def used(self) -> Used:
        """CPU seconds of all its threads so far, and the clock."""
        times = psutil.Process(self.child.pid).cpu_times()
        return Used(times.user + times.system, time.monotonic())

    @property
    def rss_bytes(self) -> int:
        """Memory that it holds now."""
        return int(psutil.Process(self.child.pid).memory_info().rss)

    async def spent(self, within_s: float) -> Spent:
        """What it has used, once it has ended by itself; CPU and memory are those of the last looks before that."""
        started_s, cpu_s, peak_bytes = time.monotonic(), 0.0, 0
        while self.child.exit_code is None and time.monotonic() < started_s + within_s:
            with suppress(psutil.Error):
                cpu_s, peak_bytes = self.used.cpu_s, max(peak_bytes, self.rss_bytes)
            await asyncio.sleep(POLL_S)
        wall_s = time.monotonic() - started_s
        await self.child.finish(POLL_S)
        return Spent(cpu_s, wall_s, peak_bytes)

    @property
    def lines(self) -> list[str]:
        """What it has printed."""
        return self.child.log_path.read_text().splitlines()

    @property
    def document(self) -> Any:
        """The JSON that it has printed for programs; what it said aside stands before."""
        text = self.child.log_path.read_text()
        return json.loads(text[text.index("{\n") :])

    def check(self) -> None:
        """Raises when it has ended."""
        if self.child.exit_code is not None:
            raise self.child.failure(f"exited with {self.child.exit_code}")

    async def says(self, line: str, within_s: float = 30.0) -> None:
        """Returns once it has printed that line."""
        async with asyncio.timeout(within_s):
            while line not in self.lines:
                self.check()
                await asyncio.sleep(POLL_S)

    async def result(self) -> Any:
        """Its last line as JSON, once it has ended by itself."""
        await self.child.finish(ENDS_WITHIN_S)
        return json.loads(self.lines[-1])


class Lab:
    """Starts the servers; hands out settings on them that share nothing with those of another name."""

    def __init__(self, stack: EmbeddedStack, broker: str) -> None:
        self._stack = stack
        self._broker = broker
        self._programs = 0

    async def settings(self, name: str, partitions: int) -> tuple[LogSettings, LiveSettings]:
        """A log of its own, with its topics, and a live store of its own."""
        log = LogSettings(
            bootstrap=self._broker,
            topic_prefix=f"{name}.",
            group_id=name,
            partitions=partitions,
        )
        await create_topics(log)
        return log, LiveSettings(redis_url=self._stack.address(Part.VALKEY), namespace=name)

    @asynccontextmanager
    async def program(self, name: str, *arguments: str) -> AsyncIterator[Program]:
        """Run `bench.programs.<name>`; it is ended at the latest when the block is left."""
        async with self._running(name, [f"bench.programs.{name}", *arguments], {}) as program:
            yield program

    @asynccontextmanager
    async def interlock(
        self, log: LogSettings, live: LiveSettings, *arguments: str, **sections: BaseModel
    ) -> AsyncIterator[Program]:
        """Run `interlock ...` on the settings, as it is installed; it is ended when the block is left.

        `sections` are further sections of the settings, by name.
        """
        environment = _named("LOG", log.model_dump(mode="json", exclude_defaults=True))
        environment |= _named("LIVE", live.model_dump(mode="json", exclude_defaults=True))
        for name, section in sections.items():
            environment |= _named(name.upper(), section.model_dump(mode="json", exclude_defaults=True))
        async with self._running(arguments[0], ["api.cli", *arguments], environment) as program:
            yield program

    @asynccontextmanager
    async def _running(
        self, name: str, module: Sequence[str], environment: Mapping[str, str]
    ) -> AsyncIterator[Program]:
        self._programs += 1
        launch = Launch(
            [sys.executable, "-m", *module],
            plain_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1", **environment),
        )
        child = await Child.spawn(name, launch, self._stack.data_folder / f"{self._programs:03}-{name}.log")
        try:
            yield Program(child)
        finally:
            await child.stop()


@asynccontextmanager
async def open_lab(*, on_kafka: bool = False) -> AsyncIterator[Lab]:
    """A lab with a live store and a broker: the embedded one, or Apache Kafka."""
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="interlock-bench-")))
        parts = [Part.VALKEY] if on_kafka else [Part.BROKER, Part.VALKEY]
        stack = await resources.enter_async_context(EmbeddedStack(folder, parts))
        if on_kafka:
            kafka = await resources.enter_async_context(KafkaServer(folder / "kafka"))
            yield Lab(stack, kafka.address)
        else:
            yield Lab(stack, stack.address(Part.BROKER))


def _named(section: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {f"INTERLOCK_{section}__{name.upper()}": str(value) for name, value in values.items()}
