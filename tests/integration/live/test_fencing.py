"""Every way in which a slot can be lost under its owner: who lost it is refused, and nothing is written."""

from __future__ import annotations

import pytest

from projections.errors import FencedError, StaleCheckpointError
from projections.live.commit import Commit
from projections.live.store import LiveStore
from tests.integration.live.slots import USAGE, entry, everything, roll_back, snapshot, usage
from tests.integration.live_server import LiveServer


async def test_zombie_is_fenced_and_told_by_whom(store: LiveStore) -> None:
    """An owner that was replaced can change nothing, whatever it tries."""
    zombie = await store.acquire(USAGE, "zombie")
    await store.commit(zombie, usage(0, 5, {"spend:acme|tenant|1": b"old"}, entry(1)))
    owner = await store.acquire(USAGE, "bob")
    await store.commit(owner, usage(5, 6))
    before = await everything(store)
    for attempt in (store.commit(zombie, usage(5, 9)), store.published(zombie, 1, {}), store.check(zombie)):
        with pytest.raises(FencedError, match="bob holds the slot") as refused:
            await attempt
        assert (refused.value.owner, refused.value.epoch) == ("bob", owner.epoch)
    assert await everything(store) == before


async def test_zombie_reads_nothing_of_what_its_successor_wrote(store: LiveStore) -> None:
    """Should Redis go back to where the zombie had the slot, that would come into a commit of it."""
    zombie = await store.acquire(USAGE, "zombie")
    await store.commit(zombie, usage(0, 5, {"spend:acme|tenant|1": b"old", "budgets:acme": b"x"}))
    asked = ["spend:acme|tenant|1", "spend:acme|tenant|2"]
    assert await store.read_owned(zombie, asked) == {"spend:acme|tenant|1": b"old"}
    assert await store.ids_owned(zombie, "budgets") == ["acme"]
    owner = await store.acquire(USAGE, "bob")
    await store.commit(owner, usage(5, 6, {"spend:acme|tenant|1": b"new"}))
    for attempt in (store.read_owned(zombie, asked), store.ids_owned(zombie, "budgets")):
        with pytest.raises(FencedError, match="bob holds the slot"):
            await attempt
    assert await store.read_owned(owner, asked) == {"spend:acme|tenant|1": b"new"}
    many = {f"spend:acme|tenant|{day}": b"%d" % day for day in range(2_500)}
    await store.commit(owner, usage(6, 7, many))
    assert await store.read_owned(owner, list(many)) == many


async def test_zombie_in_another_process_is_fenced(store: LiveStore) -> None:
    """The fence is in the store, not in the memory of one process."""
    async with LiveStore(store.settings) as other:
        zombie = await other.acquire(USAGE, "zombie")
        await store.acquire(USAGE, "bob")
        with pytest.raises(FencedError, match="bob"):
            await other.commit(zombie, usage(0, 5))


async def test_commit_from_another_offset_is_stale_and_writes_nothing(store: LiveStore) -> None:
    """One checkpoint of several that does not fit refuses the whole batch."""
    lease = await store.acquire(USAGE, "ann")
    await store.commit(lease, Commit({"usage": (0, 5), "budgets": (0, 2)}, {}, (), clock_us=1))
    before = await everything(store)
    wrong = Commit({"usage": (5, 9), "budgets": (1, 3)}, {"budgets:acme": b"x"}, (entry(1),), clock_us=2)
    with pytest.raises(StaleCheckpointError, match=r"usage\.3: budgets is at 2, the commit starts at 1"):
        await store.commit(lease, wrong)
    assert await everything(store) == before


async def test_repeated_commit_is_stale(store: LiveStore) -> None:
    """A commit whose reply was lost and that is sent again is not applied twice."""
    lease = await store.acquire(USAGE, "ann")
    await store.commit(lease, usage(0, 5))
    with pytest.raises(StaleCheckpointError, match="usage is at 5, the commit starts at 0"):
        await store.commit(lease, usage(0, 5))


async def test_wiped_slot_is_stale_for_its_owner_and_fresh_for_the_next(store: LiveStore) -> None:
    """After a wipe nothing is left, and the owner of before finds that out."""
    lease = await store.acquire(USAGE, "ann")
    await store.commit(lease, usage(0, 5, {"budgets:acme": b"x"}, entry(1)))
    await store.wipe(USAGE)
    assert await everything(store) == {}
    with pytest.raises(StaleCheckpointError, match="the slot is empty"):
        await store.commit(lease, usage(5, 6))
    with pytest.raises(StaleCheckpointError):
        await store.check(lease)
    assert (await store.acquire(USAGE, "bob")).next_offsets == {}


async def test_flushed_server_is_noticed_even_when_the_slot_was_acquired_again(one: LiveStore) -> None:
    """Epochs grow over a flush, so an owner from before it cannot be taken for the one after it."""
    zombie = await one.acquire(USAGE, "zombie")
    await one.commit(zombie, usage(0, 5))
    await one.connection.command("FLUSHALL")
    with pytest.raises(StaleCheckpointError, match="the slot is empty"):
        await one.commit(zombie, usage(5, 9))
    with pytest.raises(StaleCheckpointError, match="flushed or rolled back"):
        await one.check(zombie)
    async with LiveStore(one.settings) as other:
        owner = await other.acquire(USAGE, "bob")
        assert owner.epoch > zombie.epoch
        await other.commit(owner, usage(0, 5))
        with pytest.raises(FencedError):
            await one.commit(zombie, usage(5, 9))


async def test_rolled_back_server_is_noticed_whatever_topic_it_forgot(
    one: LiveStore, server: LiveServer
) -> None:
    """A snapshot in which the committed topic is up to date, but another one is not, is stale all the same."""
    lease = await one.acquire(USAGE, "ann")
    await one.commit(lease, usage(0, 5))
    async with server.client() as client:
        old = await snapshot(client, one.settings.namespace)
        await one.commit(lease, Commit({"budgets": (0, 3)}, {"budgets:acme": b"x"}, (), clock_us=2))
        await roll_back(client, one.settings.namespace, old)
    with pytest.raises(StaleCheckpointError, match="at revision 1, its owner at 2"):
        await one.commit(lease, usage(5, 9))
    with pytest.raises(StaleCheckpointError):
        await one.check(lease)
    again = await one.acquire(USAGE, "ann")
    assert again.next_offsets == {"usage": 5}
    await one.commit(again, usage(5, 9))


async def test_roll_back_beyond_the_acquisition_is_noticed(one: LiveStore, server: LiveServer) -> None:
    """A snapshot from the time of the owner before is stale for the present one, and for the one before."""
    before = await one.acquire(USAGE, "ann")
    await one.commit(before, usage(0, 5))
    async with server.client() as client:
        old = await snapshot(client, one.settings.namespace)
        lease = await one.acquire(USAGE, "bob")
        await roll_back(client, one.settings.namespace, old)
    with pytest.raises(StaleCheckpointError, match="back at epoch"):
        await one.commit(lease, usage(5, 9))
    with pytest.raises(StaleCheckpointError, match="back at epoch"):
        await one.published(lease, 0, {})


async def test_rolled_back_slot_is_told_nothing_of_what_was_published(
    one: LiveStore, server: LiveServer
) -> None:
    """It has to look for it on the log again, so its hints stay where they were, although its owner is the same."""
    lease = await one.acquire(USAGE, "ann")
    async with server.client() as client:
        old = await snapshot(client, one.settings.namespace)
        await one.commit(lease, usage(0, 5, {}, entry(1)))
        await roll_back(client, one.settings.namespace, old)
    with pytest.raises(StaleCheckpointError, match="at revision"):
        await one.published(lease, 1, {"outcomes.1": 17})
    assert (await one.acquire(USAGE, "ann")).derived == {}
