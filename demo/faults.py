"""What is done to the running system on purpose, and how long it takes to be whole again."""

from __future__ import annotations

from dataclasses import dataclass

from demo.clock import VirtualClock, wall_us
from demo.live import all_slots
from demo.spread import FaultTime
from demo.stage import Stage
from projections.live.consistency import Consistency, Waits

KILL_AT = 0.50
FLUSH_AT = 0.75
"""When, as shares of the traffic's time."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage while history runs on it."""

    stage: Stage
    waits: Waits
    clock: VirtualClock


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, when in history, and from when to when it was felt."""

    detail: str
    virtual_us: int
    time: FaultTime

    @property
    def recovery_s(self) -> float:
        """Seconds of the wall clock."""
        return (self.time.end_us - self.time.start_us) / 1_000_000


async def kill_worker(scene: Scene) -> Fault:
    """SIGKILL the worker that owns the most slots, and start a fresh one."""
    stage = scene.stage
    checkpoints = await stage.store.checkpoints(all_slots(stage.log.partitions))
    owners = [held.owner for held in checkpoints.values()]
    slots_of = {child: sum(owner.endswith(f":{child.pid}") for owner in owners) for child in stage.workers}
    victim = max(stage.workers, key=lambda child: slots_of[child])
    stage.workers.remove(victim)
    started_us = wall_us()
    await victim.kill()
    fresh = await stage.start_worker()
    detail = (
        f"SIGKILL of {victim.name}, owner of {slots_of[victim]} of {len(owners)} slots; {fresh.name} started"
    )
    return await _recovered(scene, "worker killed", detail, started_us)


async def flush_live(scene: Scene) -> Fault:
    """FLUSHALL on the live store: all states, checkpoints and fences are gone."""
    connection = scene.stage.store.connection
    keys = await connection.command("DBSIZE")
    started_us = wall_us()
    await connection.command("FLUSHALL")
    return await _recovered(scene, "Redis flushed", f"FLUSHALL of Redis: {keys:,} keys gone", started_us)


async def _recovered(scene: Scene, name: str, detail: str, started_us: int) -> Fault:
    """Whole again: all that is on the log just after the fault is folded."""
    await scene.waits.reach(Consistency.STRONG, all_slots(scene.stage.log.partitions))
    return Fault(detail, scene.clock.virtual_us(started_us), FaultTime(name, started_us, wall_us()))
