"""The servers and processes of a run: started in order, watched, always ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.errors import BrokenRunError
from demo.live import all_slots
from demo.options import DemoOptions
from demo.plan import GatewayPlan
from embedded.process import Child, Launch
from embedded.stack import EmbeddedStack, Part
from events.broker import create_topics
from events.settings import LogSettings
from processors.dedupe import SLICE_MS
from projections.history.settings import HistorySettings
from projections.live.store import LiveStore
from projections.settings import LiveSettings

WORKERS_WITHIN_S = 90.0
GATEWAYS_WITHIN_S = 90.0
STOP_WITHIN_S = 5.0
FOLDED_WITHIN_S = 60.0
WATCH_S = 0.2
SESSION_TIMEOUT_S = 3
"""After so long the group misses a killed worker; half the usual time, since history runs fast here."""


WORK = (sys.executable, "-m", "api.cli", "work")
SINK = (sys.executable, "-m", "api.cli", "sink", "history")


class Stage:
    """A broker, a live store and a history on free ports, workers and gateways as child processes, all under one folder."""

    def __init__(self, options: DemoOptions, speed: float, folder: Path) -> None:
        self.folder = folder
        self.workers: list[Child] = []
        self.sinks: list[Child] = []
        self.gateways: list[Child] = []
        self.plans: list[GatewayPlan] = []
        self._options = options
        self._speed = speed
        self._stack = EmbeddedStack(folder / "stack", {Part.BROKER, Part.VALKEY, Part.POSTGRES})
        self._resources = AsyncExitStack()
        self._started_workers = 0

    async def __aenter__(self) -> Self:
        try:
            await self._resources.enter_async_context(self._stack)
            self._resources.push_async_callback(self._stop_children)
            self.log = LogSettings(bootstrap=self._stack.address(Part.BROKER))
            self.live = LiveSettings(
                redis_url=self._stack.address(Part.VALKEY), consistency_timeout_s=FOLDED_WITHIN_S
            )
            self.history = HistorySettings(postgres_dsn=self._stack.address(Part.POSTGRES))
            await create_topics(self.log)
            self.store = await self._resources.enter_async_context(LiveStore(self.live))
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def start_worker(self) -> Child:
        """One more worker; it serves once the consumer group has let it in."""
        self._started_workers += 1
        child = await self._spawn(f"worker-{self._started_workers}", WORK)
        self.workers.append(child)
        return child

    async def start_sink(self) -> None:
        """What writes the log to the history."""
        self.sinks.append(await self._spawn("sink", SINK))

    async def start_workers(self) -> None:
        """The workers of the options, until every slot has an owner."""
        for _ in range(self._options.workers):
            await self.start_worker()
        await self.workers[0].until(self._owned, WORKERS_WITHIN_S)

    async def start_gateways(self) -> None:
        """The gateways, until each sees the live state."""
        within = self._retry_within_s()
        for number in range(self._options.gateways):
            plan = GatewayPlan(
                number=number,
                options=self._options,
                log=self.log.model_copy(update={"request_timeout_s": within}),
                live=self.live,
                folder=self.folder,
            )
            plan.plan_path.write_text(plan.model_dump_json())
            launch = Launch((sys.executable, "-m", "demo.gateway", str(plan.plan_path)))
            self.plans.append(plan)
            self.gateways.append(await Child.spawn(plan.name, launch, self.folder / f"{plan.name}.log"))
        for plan, child in zip(self.plans, self.gateways, strict=True):
            await child.until(_exists(plan.ready_path), GATEWAYS_WITHIN_S)

    def begin(self, started_us: int) -> None:
        """Tell the gateways when history begins to run, microseconds of the wall clock."""
        path = self.plans[0].start_path
        told = path.with_suffix(".new")
        told.write_text(str(started_us))
        told.rename(path)

    async def gateways_done(self) -> None:
        """Return when every gateway has served its share. BrokenRunError when one failed."""
        for child in self.gateways:
            if await child.wait() != 0:
                raise broken(child)

    async def watch(self) -> None:
        """Raise BrokenRunError when a server ends, or a worker that was not to be killed."""
        parts = asyncio.create_task(self._stack.wait_exit())
        watched: dict[asyncio.Task[int], Child] = {}
        try:
            while True:
                for child in (*self.workers, *self.sinks):
                    if child not in watched.values():
                        watched[asyncio.create_task(child.wait())] = child
                everything: set[asyncio.Task[Any]] = {parts, *watched}
                await asyncio.wait(everything, timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED)
                if parts.done():
                    ended = parts.result()
                    raise BrokenRunError(f"{ended.part} ended with {ended.exit_code}:\n{ended.log_tail}")
                for task in [task for task in watched if task.done()]:
                    child = watched.pop(task)
                    if child in (*self.workers, *self.sinks):
                        raise broken(child)
        finally:
            parts.cancel()
            for waiting in watched:
                waiting.cancel()

    async def _spawn(self, name: str, argv: tuple[str, ...]) -> Child:
        environment = dict(os.environ) | {
            "INTERLOCK_LOG__BOOTSTRAP": self.log.bootstrap,
            "INTERLOCK_LOG__SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            "INTERLOCK_LIVE__REDIS_URL": self.live.redis_url,
            "INTERLOCK_HISTORY__POSTGRES_DSN": str(self.history.postgres_dsn),
        }
        return await Child.spawn(name, Launch(argv, environment), self.folder / f"{name}.log")

    def _retry_within_s(self) -> float:
        """An event that was not acknowledged has to come again within the horizon over which duplicates are known."""
        return min(self.log.request_timeout_s, max(1.0, 0.7 * SLICE_MS / 1000 / self._speed))

    async def _owned(self) -> bool:
        checkpoints = await self.store.checkpoints(all_slots(self.log.partitions))
        return all(held.epoch > 0 for held in checkpoints.values())

    async def _stop_children(self) -> None:
        children = [*self.gateways, *self.workers, *self.sinks]
        self.workers, self.sinks = [], []
        await asyncio.gather(*(child.stop(STOP_WITHIN_S) for child in children), return_exceptions=True)


def broken(child: Child) -> BrokenRunError:
    """What to say of a process that ended before its time."""
    return BrokenRunError(f"{child.name} ended with {child.exit_code}:\n{child.log_tail()}")


def _exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def exists() -> bool:
        return os.path.lexists(path)  # noqa: ASYNC240 - a look at one name on a local disk

    return exists
