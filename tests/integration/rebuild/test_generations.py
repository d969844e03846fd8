"""Generations side by side: switched to and back, dropped, and sealed for a cut-over that may never come."""

from __future__ import annotations

import asyncio

import pytest

from events.breaker_overridden import OverrideMode
from processors.rebuild.handover import sealed
from processors.rebuild.switch import drop, plan_drop, plan_switch, switch
from projections.errors import FencedError, LiveUnavailableError, StaleCheckpointError
from projections.live.generations import GenerationError, Generations, Known, Stage
from projections.live.keys import lock_key
from projections.live.lock import GenerationLock
from projections.live.slots import Slot
from projections.live.store import Commit, LiveStore
from tests.integration.live_server import LiveServer
from tests.integration.rebuild.site import generations_of, rebuilt
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic, overridden, traffic

USAGE = Slot("usage", 0)


async def test_the_way_back_and_forth_is_exact(rig: Rig) -> None:
    """A switch to a generation that is behind needs force; the workers catch up, and nothing is decided twice."""
    await rebuilt(rig)
    await rig.append(*Traffic(rig).some(100), overridden("google", None, OverrideMode.FORCED_OPEN))
    await rig.folded()
    with pytest.raises(GenerationError, match=r"generation 1 is [0-9]+ records behind the live one"):
        await switch(rig.log, rig.store, rig.publisher, 1, although_behind=False)
    with pytest.raises(GenerationError, match=r"generation 1 is [0-9]+ records behind the live one"):
        await plan_switch(rig.log, rig.store, 1, although_behind=False)
    planned = await plan_switch(rig.log, rig.store, 1, although_behind=True)
    assert (planned.before, planned.generation, planned.behind > 100) == (2, 1, True)
    assert await generations_of(rig).live() == 2
    async with traffic(rig):
        done = await switch(rig.log, rig.store, rig.publisher, 1, although_behind=True)
        assert (done.before, done.generation) == (2, 1)
        assert done.behind > 100
    assert await rig.store.follow() == 1
    await rig.folded()
    assert await rig.violations() == []
    await switch(rig.log, rig.store, rig.publisher, 2, although_behind=True)
    await rig.store.follow()
    await rig.append(*Traffic(rig).some(30))
    await rig.folded()
    assert rig.store.keyspace.generation == 2
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_the_live_generation_is_never_dropped(rig: Rig) -> None:
    """Nor one that is not there; another is gone with all its keys."""
    with pytest.raises(GenerationError, match="generation 1 is live"):
        await drop(rig.store, 1)
    with pytest.raises(GenerationError, match="there is no generation 7"):
        await drop(rig.store, 7)
    with pytest.raises(GenerationError, match="there is no generation 7"):
        await plan_drop(rig.store, 7)
    with pytest.raises(GenerationError, match="generation 1 is live already"):
        await switch(rig.log, rig.store, rig.publisher, 1, although_behind=False)
    with pytest.raises(GenerationError, match="generation 7 holds nothing"):
        await switch(rig.log, rig.store, rig.publisher, 7, although_behind=True)
    await rebuilt(rig)
    held = await generations_of(rig).held()
    assert await drop(rig.store, 1) == held[1].keys
    assert list(await generations_of(rig).held()) == [2]
    await rig.append(*Traffic(rig).some(20))
    await rig.folded()
    assert list(await generations_of(rig).held()) == [2]


async def test_the_one_before_is_the_last_that_goes(rig: Rig) -> None:
    """A generation that was built and never made live is newer than the way back, and goes first."""
    async with LiveStore(rig.live.model_copy(update={"generation": 2})) as left:
        await left.acquire(USAGE, "ann")
    await generations_of(rig).note(2, Known(Stage.DIFFERENT, built_from=1, noted_us=1))
    assert (await rebuilt(rig)).dropped == (2,)
    assert list(await generations_of(rig).held()) == [1, 3]


async def test_a_sealed_slot_is_nobodys_until_its_lock_is_gone(server: LiveServer) -> None:
    """The owner is fenced and nobody acquires it; when the holder is killed, the next to come breaks the seal."""
    async with LiveStore(server.settings()) as store:
        lease = await store.acquire(USAGE, "ann")
        async with GenerationLock(store.connection, store.settings.namespace) as lock:
            await store.seal(USAGE, lock.token)
            with pytest.raises(FencedError):
                await store.commit(lease, Commit({"usage": (0, 5)}, {}, (), 1))
            with pytest.raises(LiveUnavailableError, match="about to make another generation live"):
                await store.acquire(USAGE, "ann")
            # As when its holder was killed and it has expired.
            await store.connection.command("DEL", lock_key(store.settings.namespace))
            again = await store.acquire(USAGE, "ann")
            await store.commit(again, Commit({"usage": (0, 5)}, {}, (), 1))
            with pytest.raises(GenerationError, match="the lock is not as it was"):
                await Generations(store.connection, store.settings.namespace).cut_over(lock.token, 1, 2)
        assert await store.follow() == 1


@pytest.mark.any_broker
async def test_a_seal_ends_with_what_it_was_for(rig: Rig) -> None:
    """Also when that fails; the workers take their slots again and go on."""
    async with LiveStore(rig.live) as store, GenerationLock(store.connection, rig.live.namespace) as lock:
        with pytest.raises(ZeroDivisionError):
            async with sealed(store, rig.slots, rig.publisher, lock.token):
                raise ZeroDivisionError
        await rig.append(*Traffic(rig).some(20))
        await rig.folded()
    assert await rig.violations() == []


async def test_an_owner_of_a_dropped_generation_finds_the_live_one(server: LiveServer) -> None:
    """A cut-over and a drop between its two questions: it does not begin an orphan."""
    settings = server.settings()
    async with LiveStore(settings) as store, LiveStore(settings) as other:

        class Late(LiveStore):
            async def follow(self) -> int:
                generation = await super().follow()
                if generation == 1:
                    await other.name_live(2)
                return generation

        async with Late(settings) as late:
            await late.acquire(USAGE, "ann")
            assert late.keyspace.generation == 2
        await store.follow()
        assert (await store.checkpoints([USAGE]))[USAGE].owner == "ann"


async def test_who_follows_a_generation_that_a_flush_forgot_begins_at_the_first(server: LiveServer) -> None:
    """Old processes and new ones agree, and those that only listen are told."""
    settings = server.settings()
    async with LiveStore(settings) as old, LiveStore(settings) as new, server.client() as client:
        await old.name_live(5)
        assert await old.follow() == 5
        lease = await old.acquire(USAGE, "ann")
        pushed = await old.connection.subscribe(f"{settings.namespace}:generation")
        async with pushed:
            await client.flushall()
            assert await new.follow() == 1
            with pytest.raises(StaleCheckpointError, match="another generation is live"):
                await old.check(lease)
            async with asyncio.timeout(30):
                assert (await pushed.receive()).data == b"1"
