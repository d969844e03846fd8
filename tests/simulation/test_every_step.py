"""One short history, broken at every step that its worker takes: no await is safe, so each is tried."""

from __future__ import annotations

from random import Random

import pytest

from events.settings import LogSettings
from tests.simulation.chaos import OneFate
from tests.simulation.cluster import Cluster
from tests.simulation.plan import Plan
from tests.simulation.process import Fate
from tests.simulation.properties import violations
from tests.simulation.scenario import drained, shipped_codec
from tests.simulation.virtual_time import run
from tests.simulation.world import World

PLAN = Plan(duration_s=3.0, usage=12, bad=0.1, duplicates=0.1, late=0.1, operators=0.3)
NEVER = -1


async def _history(fate: OneFate) -> tuple[list[str], int]:
    """What is wrong at its end, and how many steps the worker took that was to be broken."""
    random = Random(2)
    settings = LogSettings(partitions=1, max_event_bytes=65_536)
    cluster = Cluster(settings, shipped_codec(), fate, random)
    worker = cluster.start_worker()
    cluster.share_out()
    cluster.start_worker()
    world = World(cluster, PLAN, random)
    world.settle()
    await world.live()
    await drained(cluster)
    world.tick()
    await drained(cluster)
    wrong = [f"{name} stopped, {slot}: {error!r}" for name, slot, error in cluster.stops]
    wrong = wrong or violations(cluster)
    cluster.end()
    return wrong, worker.process.steps


FATES = (Fate.KILL, Fate.KILL_IN_FLIGHT, Fate.CUT_OFF, Fate.PAUSE)


@pytest.mark.parametrize("fate", FATES)
def test_live_state_is_exact_whichever_step_is_the_broken_one(fate: Fate) -> None:
    """Before and after the effect of each read, commit, append and question to the group: a fate for each in turn."""
    wrong, steps = run(_history(OneFate(NEVER, fate)))
    assert not wrong
    assert steps > 20, "the history is too short to prove anything"
    for step in range(FATES.index(fate), steps, len(FATES)):
        one = OneFate(step, fate)
        wrong, _ = run(_history(one))
        assert one.met, f"step {step} was never taken"
        assert not wrong, f"{fate.name} at step {step}, {one.met}: {wrong[:5]}"
