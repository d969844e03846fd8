"""`interlock rebuild live` as a process: killed at any moment and run again, and beside workers that come and go."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from embedded.process import Child, Launch
from projections.live.generations import Stage
from projections.live.keys import lock_key
from projections.live.store import LiveStore
from projections.lock import LockedError
from tests.integration.crew import crew, environment_of
from tests.integration.live_server import LiveServer, eventually
from tests.integration.rebuild.site import generations_of, history, rebuilt
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, traffic


@asynccontextmanager
async def command(rig: Rig, folder: Path, *arguments: str) -> AsyncIterator[Child]:
    """The command line at work, killed at the end if it still is."""
    environment = {**os.environ, **environment_of("LOG", rig.log), **environment_of("LIVE", rig.live)}
    launch = Launch([sys.executable, "-m", "api.cli", *arguments], environment)
    child = await Child.spawn("interlock", launch, folder / "command.log")
    try:
        yield child
    finally:
        await child.kill()


async def answered(rig: Rig, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that ends by itself."""
    environment = {**os.environ, **environment_of("LOG", rig.log), **environment_of("LIVE", rig.live)}
    pipe = asyncio.subprocess.PIPE
    argv = (sys.executable, "-m", "api.cli", *arguments)
    child = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe, env=environment)
    out, err = await asyncio.wait_for(child.communicate(), 100)
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def folded_of(rig: Rig, generation: int) -> int:
    """How many records a generation has folded."""
    async with LiveStore(rig.live.model_copy(update={"generation": generation})) as store:
        held = await store.checkpoints(rig.slots)
    return sum(sum(one.next_offsets.values()) for one in held.values())


async def some_slot_is_sealed(rig: Rig) -> bool:
    """Whether a barrier has begun."""
    sealed = [("HGET", rig.store.keyspace.meta(slot), "sealed") for slot in rig.slots]
    return any(await rig.store.connection.batch(sealed))


async def killed_when(rig: Rig, folder: Path, pace: int, reached: Callable[[], Awaitable[bool]]) -> None:
    """Run a rebuild until then, and kill it; its lock is taken away as its expiry would."""
    arguments = ("rebuild", "live", "--max-events-per-s", str(pace))
    async with command(rig, folder, *arguments) as child:

        async def reached_or_ended() -> bool:
            return child.exit_code is not None or await reached()

        await eventually(reached_or_ended)
    await rig.store.connection.command("DEL", lock_key(rig.live.namespace))


async def test_a_rebuild_killed_at_any_moment_is_resumed(rig: Rig, tmp_path: Path) -> None:
    """Before it folds, amid it, late, and at the barrier, while traffic goes on: the next one goes on from there."""

    async def is_noted() -> bool:
        return 2 in await generations_of(rig).known()

    async def has_folded(records: int) -> bool:
        return await folded_of(rig, 2) >= records

    async with traffic(rig):
        await killed_when(rig, tmp_path, 500, is_noted)
        await killed_when(rig, tmp_path, 500, lambda: has_folded(100))
        folded = await folded_of(rig, 2)
        await killed_when(rig, tmp_path, 500, lambda: has_folded(folded + 150))
        assert await generations_of(rig).live() == 1
        await killed_when(rig, tmp_path, 5_000, lambda: some_slot_is_sealed(rig))
        outcome = await rebuilt(rig)
        assert [str(one) for one in outcome.comparison.differences] == []
        assert outcome.is_live
    await rig.folded()
    assert await rig.violations() == []
    assert Stage.BUILDING not in {one.stage for one in (await generations_of(rig).known()).values()}


@pytest.mark.any_broker
async def test_the_lock_of_a_killed_rebuild_ends_by_itself(rig: Rig, tmp_path: Path) -> None:
    """Within ten seconds the next one may begin, and it goes on with what is there."""

    async def has_folded() -> bool:
        return await folded_of(rig, 2) >= 100

    async with command(rig, tmp_path, "rebuild", "live", "--max-events-per-s", "300"):
        await eventually(has_folded)
    with pytest.raises(LockedError):
        await rebuilt(rig)

    async def may_begin() -> bool:
        return await rig.store.connection.command("GET", lock_key(rig.live.namespace)) is None

    await eventually(may_begin)
    outcome = await rebuilt(rig)
    assert outcome.plan.resumed
    assert outcome.plan.generation == 2
    assert 0 < outcome.plan.records < sum(part.end for part in outcome.plan.parts)
    assert outcome.is_live


@pytest.mark.any_broker
async def test_the_command_line_plans_rebuilds_lists_switches_and_drops(rig: Rig) -> None:
    """As an operator types it, with what each says to programs."""
    code, out, _ = await answered(rig, "rebuild", "live", "--dry-run", "--json")
    plan = orjson.loads(out)
    assert (code, plan["live"], plan["generation"], plan["resumed"]) == (0, 1, 2, False)
    assert plan["records"] == sum(part["end"] for part in plan["parts"]) > 300
    assert list(await generations_of(rig).held()) == [1]
    code, out, err = await answered(rig, "rebuild", "live")
    assert code == 0, err
    assert "generation 2" in out
    assert "equal" in out
    assert "DIFFERENT" not in out
    assert err.count("passed over, as the workers did") == 2
    code, out, _ = await answered(rig, "generations", "list", "--json")
    one, two = orjson.loads(out)
    assert (one["live"], two["live"], two["stage"], two["slots"]) == (False, True, "equal", 4)
    assert one["positions"] == two["positions"]
    code, _, err = await answered(rig, "generations", "drop", "2")
    assert (code, "is live" in err) == (5, True)
    code, out, err = await answered(rig, "generations", "switch", "1")
    assert (code, out.strip()) == (0, "generation 1 is live, generation 2 was"), err
    code, out, _ = await answered(rig, "generations", "drop", "2")
    assert (code, out.startswith("generation 2 is dropped: ")) == (0, True)
    await rig.append(*Traffic(rig).some(20))
    await rig.folded()
    assert await rig.violations() == []


async def test_a_rebuild_during_rebalances_is_exact(
    log_address: str, server: LiveServer, tmp_path: Path
) -> None:
    """Workers join, are killed and leave while slots are sealed, compared and cut over."""
    async with (
        Rig(settings_of_worker(log_address), server.settings()) as rig,
        crew(rig, tmp_path) as workers,
    ):
        await workers.of(1)
        await history(rig)
        async with traffic(rig):
            for _ in range(2):
                await workers.join()
                outcome = await rebuilt(rig)
                assert [str(one) for one in outcome.comparison.differences] == []
                await workers.members.pop().kill()
                assert (await rebuilt(rig)).is_live
        await workers.of(1)
        await rig.folded()
        assert rig.store.keyspace.generation == 5
        assert await rig.violations() == []
