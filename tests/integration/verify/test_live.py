"""The live state against the naive folds of the log, on real servers and beside live traffic."""

from __future__ import annotations

import orjson
import pytest

from processors.rebuild.errors import LogEndsEarlyError
from processors.rebuild.progress import Progress
from processors.verify.errors import BrokenSlotError, NotFoldedError
from processors.verify.live import Verified, verify_live
from processors.verify.repair import repair
from projections.live.commit import Commit
from projections.live.slots import slot_of
from projections.live.store import LiveStore
from tests.integration.rig import Rig
from tests.integration.traffic import traffic

KINDS = {
    *("spend", "budgets", "raised", "routing", "horizon", "breaker", "window", "health", "check"),
    *("provider", "override", "index", "checkpoint"),
}


async def verified(rig: Rig) -> Verified:
    """Verify all slots."""
    return await verify_live(rig.log, rig.live, rig.codec, Progress(lambda *_: None), rig.slots)


def told(found: Verified) -> list[str]:
    """The differences, in words."""
    return [str(one) for one in found.comparison.differences]


async def test_what_workers_fold_is_what_the_log_says(rig: Rig) -> None:
    """Of every kind of key, to the byte; the digests of both sides are the same."""
    found = await verified(rig)
    assert told(found) == []
    assert found.comparison.is_equal
    assert {kind for kind, digest in found.comparison.live.items() if digest.keys} >= KINDS


async def test_verifying_beside_live_traffic_finds_nothing(rig: Rig) -> None:
    """No slot stands still for it: each look is compared at the offsets at which it was made."""
    async with traffic(rig) as gateway:
        for _ in range(5):
            assert told(await verified(rig)) == []
            await gateway.flown(1)


@pytest.mark.any_broker
async def test_each_tampered_key_is_named_with_what_differs(rig: Rig) -> None:
    """A changed, a removed, an added and a mistyped key, a forged index and a checkpoint that was moved."""
    store = rig.store
    slot = slot_of("breaker", "anthropic/claude", rig.log.partitions)
    prefix, breaker = store.keyspace.prefix(slot), "breaker:anthropic/claude"
    document = orjson.loads((await store.read(slot, [breaker]))[breaker])
    forged = orjson.dumps(document | {"trips": document["trips"] + 7}, option=orjson.OPT_SORT_KEYS)
    command = store.connection.command
    await command("SET", prefix + breaker, forged)
    await command("DEL", prefix + "window:anthropic/claude")
    await command("SET", prefix + "health:ghost/model", b"{}")
    await command("DEL", prefix + "health:anthropic/claude")
    await command("RPUSH", prefix + "health:anthropic/claude", "a list")
    await command("SADD", prefix + "index:breaker", "ghost/model")
    await command("HINCRBY", prefix + "meta", "clock_us", 1)
    found = await verified(rig)
    named = {one.key: one.how for one in found.comparison.differences}
    assert {one.slot for one in found.comparison.differences} == {str(slot)}
    assert named.keys() == {
        *(breaker, "window:anthropic/claude", "health:ghost/model", "health:anthropic/claude"),
        *("index:breaker", "checkpoint"),
    }
    assert named[breaker] == f"trips is {document['trips'] + 7} live, {document['trips']} by the log"
    assert named["window:anthropic/claude"].startswith("missing, the log says: {")
    assert named["health:ghost/model"] == "only in the live generation: {}"
    assert not found.comparison.is_equal
    assert found.differing == (slot,)


@pytest.mark.any_broker
async def test_a_slot_that_no_longer_says_where_it_is_is_named(rig: Rig) -> None:
    """Of a forged checkpoint that is no number, and of one beyond the log."""
    meta = rig.store.keyspace.meta(rig.slots[0])
    await rig.store.connection.command("HSET", meta, "next:usage", "many")
    with pytest.raises(
        BrokenSlotError, match=r"the hash `meta` or the list `outbox` of usage\.0 is not as a worker"
    ):
        await verified(rig)
    await rig.store.connection.command("HSET", meta, "next:usage", "1000000")
    with pytest.raises(LogEndsEarlyError, match="usage-0 up to 1000000, and the log ends at"):
        await verified(rig)


async def test_a_repair_folds_only_what_differs_anew_and_decides_nothing_again(rig: Rig) -> None:
    """Exact again beside its worker; the log has not one decision more, and other slots were not touched."""
    slot, other = (
        slot_of("breaker", "anthropic/claude", rig.log.partitions),
        slot_of("spend", "acme|tenant|1", rig.log.partitions),
    )
    prefix = rig.store.keyspace.prefix(slot)
    await rig.store.connection.command("SET", prefix + "breaker:anthropic/claude", b"{}")
    found = await verified(rig)
    assert found.differing == (slot,)
    before = await rig.store.checkpoints([slot, other])
    decided = {topic: await rig.events(topic) for topic in ("breakers", "alerts", "outcomes")}
    steps: list[tuple[int, int]] = []
    await repair(rig.live, rig.publisher, found.differing, lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] == sum(before[slot].next_offsets.values())
    assert told(await verified(rig)) == []
    after = await rig.store.checkpoints([slot, other])
    assert after[slot].next_offsets == before[slot].next_offsets
    assert after[other] == before[other]
    assert {topic: await rig.events(topic) for topic in decided} == decided
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_a_repair_that_no_worker_takes_up_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot is empty, and exact as soon as somebody folds it."""
    monkeypatch.setattr("processors.verify.repair.MOVES_WITHIN_S", 0.3)
    idle = rig.live.model_copy(update={"namespace": "nobody-works-here"})
    async with LiveStore(idle) as store:
        lease = await store.acquire(rig.slots[0], "gone")
        await store.commit(lease, Commit({"usage": (0, 3)}, {"spend:a|tenant|1": b"{}"}, [], 7))
        with pytest.raises(
            NotFoldedError, match=r"usage\.0 were emptied, and nobody folds them anew: 0 of 3 records"
        ):
            await repair(idle, rig.publisher, rig.slots[:1], lambda *_: None)
        assert await store.read(rig.slots[0], ["spend:a|tenant|1"]) == {}
