"""A run from the first process to the last comparison. What it says on the way goes to the console."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from demo.clock import VirtualClock, wall_us
from demo.errors import BrokenRunError
from demo.evidence import Evidence, gather
from demo.faults import FLUSH_AT, KILL_AT, Fault, Scene, flush_live, kill_worker
from demo.live import all_slots, published
from demo.narrator import Narrator, columns, time_text
from demo.options import DemoOptions
from demo.scenario import Scenario
from demo.setup import settings_events
from demo.stage import FOLDED_WITHIN_S, Stage
from events.codec import Codec
from events.log_ends import LogEnds
from events.publisher import Publisher
from events.registry import FolderRegistry
from projections.live.consistency import Consistency, Waits

START_IN_US = 300_000
GATEWAYS_END_WITHIN_S = 60.0

BeforeProof = Callable[[Stage], Awaitable[None]]
"""Called when all is folded and nothing moves any more, before anything is compared."""


@dataclass(frozen=True, slots=True)
class Play:
    """One run of a scenario."""

    console: Console
    options: DemoOptions
    scenario: Scenario

    async def perform(self, folder: Path, before_proof: BeforeProof) -> Evidence:
        """Everything that runs. The stage is taken down when it returns or raises."""
        self._say("Starting a broker, a live store and a history ...")
        async with (
            Stage(self.options, self.scenario.speed, folder) as stage,
            LogEnds(stage.log) as log_ends,
        ):
            waits = Waits(stage.store, stage.log.partitions, log_ends.ends)
            watch = asyncio.create_task(stage.watch())
            acts = asyncio.create_task(self._acts(stage, waits, before_proof))
            try:
                await asyncio.wait({watch, acts}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    await watch
                return await acts
            finally:
                for task in (watch, acts):
                    task.cancel()
                await asyncio.gather(watch, acts, return_exceptions=True)

    async def _acts(self, stage: Stage, waits: Waits, before_proof: BeforeProof) -> Evidence:
        self._say(f"Starting {self.options.workers} workers ...")
        await stage.start_sink()
        await stage.start_workers()
        await self._append_settings(stage)
        self._say(f"Starting {self.options.gateways} gateways ...")
        await stage.start_gateways()
        clock = VirtualClock(self.options.at_us, wall_us() + START_IN_US, self.scenario.speed)
        stage.begin(clock.started_us)
        faults = await self._traffic(Scene(stage, waits, clock))
        self._say("The traffic is over. Waiting until all of it is folded ...")
        slots = all_slots(stage.log.partitions)
        await waits.reach(Consistency.STRONG, slots)
        await published(stage.store, slots, FOLDED_WITHIN_S)
        await before_proof(stage)
        self._say("Reading the log back, by other code, and comparing ...")
        return await gather(stage, faults, self.scenario.requests[-1].at_us)

    async def _append_settings(self, stage: Stage) -> None:
        codec = Codec(FolderRegistry(stage.log.schemas_folder))
        async with Publisher(stage.log, codec, lambda: self.options.at_us // 1000) as publisher:
            await publisher.append(settings_events(self.options, self.scenario))

    async def _traffic(self, scene: Scene) -> list[Fault]:
        """From the first request to the last acknowledgement, with both faults on the way."""
        last_us = self.scenario.requests[-1].at_us
        span_us = last_us - scene.clock.at_us
        within_s = span_us / scene.clock.speed / 1_000_000 + GATEWAYS_END_WITHIN_S
        with Progress(*columns(), console=self.console, transient=True) as progress:
            narrator = Narrator(scene.stage, self._say)
            bar = progress.add_task("traffic", total=span_us, state="")
            aside = [
                asyncio.create_task(narrator.tell()),
                asyncio.create_task(narrator.show(progress, bar, scene.clock, last_us)),
            ]
            try:
                async with asyncio.timeout(within_s):
                    first, second, _ = await asyncio.gather(
                        self._strike(scene, kill_worker, int(span_us * KILL_AT)),
                        self._strike(scene, flush_live, int(span_us * FLUSH_AT)),
                        scene.stage.gateways_done(),
                    )
            except TimeoutError:
                raise BrokenRunError(
                    f"the gateways were not done {GATEWAYS_END_WITHIN_S:g} s after the traffic"
                ) from None
            finally:
                for task in aside:
                    task.cancel()
                await asyncio.gather(*aside, return_exceptions=True)
        return [first, second]

    async def _strike(self, scene: Scene, fault: Callable[[Scene], Awaitable[Fault]], after_us: int) -> Fault:
        """Do it at its time, and tell when all is well again."""
        await scene.clock.until(scene.clock.at_us + after_us)
        done = await fault(scene)
        self.console.print(
            f"{time_text(done.virtual_us)}  {done.detail}; all folded again after {done.recovery_s:.1f} s",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        return done

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)
