"""One seed from beginning to end: a world, a cluster, faults, calm, and then the properties."""

from __future__ import annotations

import asyncio
import random as global_random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

from events.codec import Codec
from events.registry import FolderRegistry
from events.settings import LogSettings
from tests.simulation.chaos import Faults, RandomFates
from tests.simulation.cluster import Cluster
from tests.simulation.plan import Plan
from tests.simulation.properties import violations
from tests.simulation.redis import Value
from tests.simulation.virtual_time import run
from tests.simulation.world import World

DRAINED_WITHIN_S = 900.0
"""Longest virtual time that may pass after the last fault until all is folded; the longest pauses end in it."""

ADJUSTED = (0.0, 0.05, 0.3, 0.0, 0.0)
"""By the seed, so that seeds without adjustments are what they were."""

SETTLED_AFTER_S = 5.0
"""After so long every acknowledgement has reached the group."""


class NeverDrainedError(Exception):
    """The workers do not come to an end with what is on the log."""


@dataclass(slots=True)
class Report:
    """What came of a seed. `wrong` is empty when every property held."""

    seed: int
    faults: Faults
    plan: Plan
    partitions: int
    records: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)
    digest: int = 0

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.faults} {self.plan} partitions={self.partitions} {self.records}"
        again = f"run it alone: pytest tests/simulation -k seed --seed {self.seed}"
        return "\n  ".join([head, again, *self.wrong[:20]])


@cache
def shipped_codec() -> Codec:
    """The codec over the shipped schemas; it keeps nothing of a simulation."""
    return Codec(FolderRegistry())


def simulate(seed: int) -> Report:
    """Run one seed in virtual time."""
    random = Random(seed)
    global_random.seed(seed)  # the jitter of the retries
    faults, plan = Faults.drawn(random), Plan.drawn(random)
    plan = replace(plan, adjusted=ADJUSTED[seed % len(ADJUSTED)])
    report = Report(seed, faults, plan, random.choice((1, 2, 3)))
    try:
        run(_simulate(report, random))
    except NeverDrainedError as error:
        report.wrong.append(str(error))
    return report


async def _simulate(report: Report, random: Random) -> None:
    fates = RandomFates(report.faults, random, calm=True)
    settings = LogSettings(partitions=report.partitions, max_event_bytes=65_536)
    cluster = Cluster(settings, shipped_codec(), fates, random, report.faults.written_twice)
    world = World(cluster, report.plan, random)
    for _ in range(random.randint(1, 3)):
        cluster.start_worker()
    cluster.share_out()
    world.settle()
    await drained(cluster)
    fates.calm = False
    chaos = [asyncio.ensure_future(each) for each in disturb(cluster, report.faults, random)]
    await world.live()
    fates.calm = True
    for each in chaos:
        each.cancel()
    await asyncio.sleep(fates.longest_pause_s)
    world.tick()
    await drained(cluster)
    report.wrong += [f"{name} stopped, {slot}: {error!r}" for name, slot, error in cluster.stops]
    report.wrong += violations(cluster)
    if not report.wrong:
        report.wrong += await replayed(cluster)
    report.records = {topic: len(cluster.log.records(topic)) for topic in cluster.log.partitions}
    cluster.end()


def disturb(cluster: Cluster, faults: Faults, random: Random) -> list[Coroutine[Any, Any, None]]:
    """What happens to the cluster as a whole, each at its own times."""
    snapshots: list[dict[bytes, Value]] = [cluster.redis.snapshot()]

    def keep() -> None:
        snapshots.append(cluster.redis.snapshot())
        del snapshots[:-4]

    def roll_back() -> None:
        """To what a replica had; what came after it never comes back."""
        del snapshots[random.randrange(len(snapshots)) + 1 :]
        cluster.redis.roll_back(snapshots[-1])

    async def now_and_then(mean_s: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / mean_s))
            act()

    disturbances = []
    if faults.rebalance_s:
        disturbances.append(
            now_and_then(faults.rebalance_s, lambda: cluster.move(random.choice(cluster.slots)))
        )
    if faults.flush_s:
        disturbances.append(now_and_then(faults.flush_s, cluster.redis.flush))
    if faults.roll_back_s:
        disturbances.append(now_and_then(faults.roll_back_s / 3, keep))
        disturbances.append(now_and_then(faults.roll_back_s, roll_back))
    return disturbances


async def drained(cluster: Cluster) -> None:
    """Wait until everything is folded and derived, and the group knows."""
    deadline_s = asyncio.get_running_loop().time() + DRAINED_WITHIN_S
    while behind := cluster.behind():
        if asyncio.get_running_loop().time() > deadline_s:
            raise NeverDrainedError(f"after {DRAINED_WITHIN_S} s of calm: {behind}")
        await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLED_AFTER_S)


async def replayed(cluster: Cluster) -> list[str]:
    """From nothing, over the same log: what is other than before, and what was derived again."""
    before = cluster.states()
    ends = {topic: len(cluster.log.records(topic)) for topic in ("outcomes", "breakers", "alerts")}
    cluster.redis.flush()
    cluster.kill_all()
    await asyncio.sleep(10.0)
    await drained(cluster)
    wrong = []
    for slot, states in cluster.states().items():
        wrong += [
            f"replay: {slot} {key} was {before[slot].get(key)!r} and is {states.get(key)!r}"
            for key in sorted(states.keys() | before[slot].keys())
            if states.get(key) != before[slot].get(key)
        ]
    for topic, end in ends.items():
        if len(cluster.log.records(topic)) != end:
            wrong.append(
                f"replay: {len(cluster.log.records(topic)) - end} records were appended to {topic} again"
            )
    return wrong
