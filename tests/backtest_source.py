"""A log for backtests that lies in memory, and histories to fill it: the production workers live through a seed."""

from __future__ import annotations

import asyncio
import random as global_random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from random import Random

from events.reader import Batch, Range
from events.settings import LogSettings
from processors.backtest.outcome import Outcome
from processors.backtest.policy import TriedPolicy
from processors.backtest.run import Backtest, Source
from tests.simulation.chaos import Faults, RandomFates
from tests.simulation.cluster import Cluster
from tests.simulation.log import MemoryLog
from tests.simulation.plan import Plan
from tests.simulation.scenario import disturb, drained, shipped_codec
from tests.simulation.virtual_time import run
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class LogSource:
    """Reads a MemoryLog in fetches of a size."""

    log: MemoryLog
    fetch: int = 1_000

    async def ranges(self, topic: str) -> dict[int, Range]:
        """As LogReader.ranges."""
        return {number: Range(0, len(held)) for number, held in enumerate(self.log.partitions[topic])}

    async def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """As LogReader.offsets_at."""
        return {
            number: next((one.offset for one in held if one.timestamp >= time_ms), len(held))
            for number, held in enumerate(self.log.partitions[topic])
        }

    async def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """As LogReader.read."""
        for number, held in wanted.items():
            for start in range(held.start, held.end, self.fetch):
                yield number, self.log.read(topic, number, start, min(held.end, start + self.fetch))


def history(seed: int, faults: Faults | None = None, adjusted: float = 0.0) -> MemoryLog:
    """What a seed's gateways, operators and workers leave on the log, while some things fail or nothing does.

    `adjusted` is the share of the usage's number that adjustments come to.
    """
    global_random.seed(seed)  # the jitter of the retries
    return run(_history(Random(seed), faults or Faults(), adjusted))


async def _history(random: Random, faults: Faults, adjusted: float) -> MemoryLog:
    fates = RandomFates(faults, random, calm=True)
    settings = LogSettings(partitions=random.choice((1, 2, 3)), max_event_bytes=65_536)
    cluster = Cluster(settings, shipped_codec(), fates, random, faults.written_twice)
    world = World(cluster, replace(Plan.drawn(random), adjusted=adjusted), random)
    cluster.start_worker()
    cluster.share_out()
    world.settle()
    await drained(cluster)
    fates.calm = False
    chaos = [asyncio.ensure_future(each) for each in disturb(cluster, faults, random)]
    await world.live()
    fates.calm = True
    for each in chaos:
        each.cancel()
    await asyncio.sleep(fates.longest_pause_s)
    world.tick()
    await drained(cluster)
    cluster.end()
    return cluster.log


def backtest(
    log: MemoryLog,
    policy: TriedPolicy | None = None,
    *,
    fetch: int = 1_000,
    source: Source | None = None,
    from_us: int | None = None,
    to_us: int | None = None,
) -> Outcome:
    """Try a policy on a log, read from it unless another source of the same records is given."""
    work = Backtest(
        log.settings,
        source or LogSource(log, fetch),
        shipped_codec(),
        policy or TriedPolicy(),
        from_us,
        to_us,
    )
    return asyncio.run(work.run())
