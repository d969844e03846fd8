"""The live state rebuilt beside itself on real servers: equal, made live, and exact afterwards."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from processors.rebuild.building import Options
from processors.rebuild.errors import LiveWentBackError
from projections.live.change import Change
from projections.live.changes import Changes
from projections.live.generations import Stage
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot, slot_of
from projections.live.store import LiveStore
from projections.lock import LockedError, LockLostError
from tests.integration.live_server import LiveServer, eventually, until
from tests.integration.rebuild.site import generations_of, rebuilt
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic, traffic, usage

KINDS = {
    *("spend", "budgets", "raised", "routing", "horizon", "breaker", "window", "health", "check"),
    *("provider", "override", "index", "checkpoint"),
}


class Heard:
    """A listener of the push."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def subscribed(self) -> None:
        """Pushes come."""
        self.told.append("subscribed")

    def changed(self, change: Change) -> None:
        """A commit."""
        self.told.append(str(change.slot))

    def lost(self) -> None:
        """Pushes end."""
        self.told.append("lost")


async def test_a_rebuild_is_equal_and_goes_live_and_workers_go_on(rig: Rig) -> None:
    """Byte by byte the same; then traffic goes on in the new generation, exact by naive folds of the whole log."""
    outcome = await rebuilt(rig)
    assert [str(one) for one in outcome.comparison.differences] == []
    assert outcome.is_live
    assert {kind for kind, digest in outcome.comparison.new.items() if digest.keys} >= KINDS
    assert [bad.was_lettered for bad in outcome.skipped] == [True, True]
    assert await generations_of(rig).live() == 2
    await rig.append(*Traffic(rig).some(200))
    await rig.append(usage("thrifty", cost_nano_usd=500))
    await rig.folded()
    assert rig.store.keyspace.generation == 2
    assert await rig.violations() == []


async def test_a_rebuild_beside_live_traffic_loses_and_doubles_nothing(rig: Rig) -> None:
    """Usage goes on before, during and after the cut-over; readers are pushed over to the new generation."""
    heard = Heard()
    async with LiveStore(rig.live) as reading, Changes(reading, [heard]), traffic(rig) as gateway:
        await until(lambda: "subscribed" in heard.told)
        for generation in (2, 3):
            before = gateway.acknowledged
            outcome = await rebuilt(rig, Options(parallel=4, max_events_per_s=2_000))
            assert [str(one) for one in outcome.comparison.differences] == []
            assert outcome.plan.generation == generation
            await until(lambda: reading.keyspace.generation == generation)  # noqa: B023 - awaited here
            seen = len(heard.told)
            await until(lambda: len(heard.told) > seen + 3)  # noqa: B023 - awaited here
            assert gateway.acknowledged > before
            assert outcome.dropped == ((1,) if generation == 3 else ())
    await rig.folded()
    assert await rig.violations() == []
    assert list(await generations_of(rig).held()) == [2, 3]


async def test_a_rebuild_without_workers_publishes_what_they_left_behind(
    rig: Rig,
) -> None:
    """A slot whose owner died between commit and publishing: the barrier publishes first, as a next owner would."""
    slot = Slot("health", 0)
    # The outbox as a killed worker leaves it: the entry is committed, and its number is not yet known to be published.
    await rig.store.connection.command("HINCRBY", rig.store.keyspace.meta(slot), "outbox_seq", 1)
    [entry, *_] = (await rig.records("breakers"))[0] or (await rig.records("breakers"))[1]
    assert entry.key is not None
    assert entry.value is not None
    seq = (await rig.store.checkpoints([slot]))[slot].outbox_seq
    left = OutboxEntry(seq, "breakers", entry.key, entry.value, entry.timestamp)
    await rig.store.connection.command("RPUSH", rig.store.keyspace.outbox(slot), left.to_bytes())
    before = len(await rig.events("breakers"))
    outcome = await rebuilt(rig)
    assert outcome.is_live, [str(one) for one in outcome.comparison.differences]
    assert len(await rig.events("breakers")) == before + 1
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_a_second_rebuild_is_refused_while_one_runs(rig: Rig) -> None:
    """By name of the one that runs; that one is not disturbed."""
    first = asyncio.create_task(rebuilt(rig, Options(max_events_per_s=300)))

    async def is_begun() -> bool:
        return Stage.BUILDING in {one.stage for one in (await generations_of(rig).known()).values()}

    await eventually(is_begun)
    with pytest.raises(LockedError, match=r"another command works on the generations: .*:[0-9]+; wait"):
        await rebuilt(rig)
    assert (await first).is_live


@pytest.mark.any_broker
async def test_a_tampered_state_is_named_with_what_differs(rig: Rig) -> None:
    """Each of a changed, a removed, an added and a mistyped key; nothing is made live, and workers go on."""
    store = rig.store
    breaker = "breaker:anthropic/claude"
    slot = slot_of("breaker", "anthropic/claude", rig.log.partitions)
    prefix = store.keyspace.prefix(slot)
    document = orjson.loads((await store.read(slot, [breaker]))[breaker])
    tampered = orjson.dumps(document | {"trips": document["trips"] + 7}, option=orjson.OPT_SORT_KEYS)
    await store.connection.command("SET", prefix + breaker, tampered)
    await store.connection.command("DEL", prefix + "window:anthropic/claude")
    await store.connection.command("SET", prefix + "health:ghost/model", b"{}")
    await store.connection.command("DEL", prefix + "health:anthropic/claude")
    await store.connection.command("RPUSH", prefix + "health:anthropic/claude", "a list")
    outcome = await rebuilt(rig)
    assert not outcome.is_live
    named = {(one.slot, one.key): one.how for one in outcome.comparison.differences}
    assert named == {
        (str(slot), breaker): f"trips is {document['trips'] + 7} live, {document['trips']} new",
        (str(slot), "window:anthropic/claude"): named[str(slot), "window:anthropic/claude"],
        (str(slot), "health:anthropic/claude"): named[str(slot), "health:anthropic/claude"],
        (str(slot), "health:ghost/model"): "only in the live generation: {}",
    }
    assert named[str(slot), "window:anthropic/claude"].startswith("only in the new generation: {")
    assert await generations_of(rig).live() == 1
    assert (await generations_of(rig).known())[2].stage is Stage.DIFFERENT
    await rig.append(usage("acme", "openai", "gpt-4o"))
    await rig.folded()


@pytest.mark.any_broker
async def test_a_new_generation_that_is_flushed_meanwhile_is_begun_anew(rig: Rig) -> None:
    """Its keys vanish amid the folding; the live generation does not notice."""
    building = asyncio.create_task(rebuilt(rig, Options(parallel=4, max_events_per_s=400)))
    slots = [Slot("usage", 0), Slot("usage", 1)]
    async with LiveStore(rig.live.model_copy(update={"generation": 2})) as new:

        async def has_folded() -> bool:
            return any(
                one.next_offsets.get("usage", 0) > 20 for one in (await new.checkpoints(slots)).values()
            )

        await eventually(has_folded)
        async for page in new.connection.scan(new.keyspace.beginning):
            await new.connection.command("DEL", *page)
    outcome = await building
    assert [str(one) for one in outcome.comparison.differences] == []
    assert outcome.folded > outcome.plan.records
    await rig.append(*Traffic(rig).some(50))
    await rig.folded()
    assert await rig.violations() == []


async def test_a_flush_of_all_ends_the_rebuild_and_the_live_state_heals(rig: Rig, server: LiveServer) -> None:
    """The lock is gone with the rest, and the live generation goes back: nothing is made live by such a rebuild."""
    await rebuilt(rig)
    building = asyncio.create_task(rebuilt(rig, Options(max_events_per_s=200)))

    async def is_begun() -> bool:
        return 3 in await generations_of(rig).known()

    await eventually(is_begun)
    async with server.client() as client:
        await client.flushall()
    with pytest.raises((LockLostError, LiveWentBackError)):
        await building
    assert await rig.store.follow() == 1
    await rig.folded()
    assert await rig.violations() == []
    assert (await rebuilt(rig)).is_live
