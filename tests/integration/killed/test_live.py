"""Commands on the live state killed at each of their steps: workers go on, and the command run again ends the work."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from projections.live.keys import lock_key
from tests.e2e.console import Console
from tests.integration.crew import environment_of
from tests.integration.rebuild.site import generations_of
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic

pytestmark = pytest.mark.any_broker

CUT_OVER = "projections.live.generations:Generations.cut_over"


@pytest.fixture
def console(tmp_path: Path, rig: Rig) -> Console:
    """A shell of an operator."""
    return Console(tmp_path, environment_of("LOG", rig.log) | environment_of("LIVE", rig.live))


async def go_on(rig: Rig) -> None:
    """The lock of the killed ends as by its expiry; the workers break its seals and fold what comes."""
    await rig.store.connection.command("DEL", lock_key(rig.live.namespace))
    await rig.append(*Traffic(rig).some(10))
    await rig.store.follow()
    await rig.folded()


async def test_a_rebuild_and_a_switch_killed_around_their_cut_over(rig: Rig, console: Console) -> None:
    """One generation is live at any time, exact and folded on; before, it is the old one, and right after the new one."""
    rebuild, switch = ("rebuild", "live", "--keep", "1"), ("generations", "switch", "2", "--force")
    for moment, command, live in (
        (f"after {CUT_OVER}", rebuild, 2),
        ("before projections.live.generations:Generations.drop", rebuild, 3),
        (f"before {CUT_OVER}", switch, 3),
        (f"after {CUT_OVER}", switch, 2),
    ):
        await console.killed(moment, *command)
        assert await generations_of(rig).live() == live, moment
        await go_on(rig)
    await console.succeeds(*rebuild)
    assert list(await generations_of(rig).held()) == [4]
    await go_on(rig)
    assert await rig.violations() == []


async def tamper(rig: Rig) -> None:
    """A breaker has tripped more often, and a tenant has spent more."""
    for kind in ("breaker:anthropic/claude", "spend:acme|tenant|"):
        for slot in rig.slots:
            for key in await rig.store.connection.keys_with_prefix(rig.store.keyspace.prefix(slot) + kind):
                state = orjson.loads(await rig.store.connection.command("GET", key))
                if "trips" in state:
                    state["trips"] += 7
                else:
                    state["rows"][0][1] += 1
                await rig.store.connection.command(
                    "SET", key, orjson.dumps(state, option=orjson.OPT_SORT_KEYS)
                )


async def test_a_repair_killed_while_slots_are_emptied_and_folded(rig: Rig, console: Console) -> None:
    """The workers fold what was emptied, decide nothing again, and what is still wrong is repaired by the next."""
    repair = ("verify", "live", "--repair", "--json")
    decided = {topic: await rig.events(topic) for topic in ("breakers", "alerts")}
    for moment in (
        "after projections.live.store:LiveStore.wipe",
        "before processors.verify.repair:_folded",
    ):
        await tamper(rig)
        await console.killed(moment, *repair)
        await rig.store.connection.command("DEL", lock_key(rig.live.namespace))
        await rig.folded()
    await tamper(rig)
    ended = orjson.loads((await console.succeeds(*repair)).out)
    assert (ended["equal"], len(ended["repaired"])) == (True, 2)
    assert {topic: await rig.events(topic) for topic in decided} == decided
    await go_on(rig)
    assert await rig.violations() == []
