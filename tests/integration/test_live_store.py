"""The live store on a real server: one atomic commit, and every way in which a slot can be lost under its owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from redis.asyncio import Redis

from projections.errors import BrokenInvariantError, FencedError, StaleCheckpointError
from projections.live.change import KEYS_NAMED_OF_A_KIND, Change
from projections.live.commit import Commit
from projections.live.outbox import OutboxEntry
from projections.live.permits import Permits
from projections.live.slots import Slot
from projections.live.store import LiveStore
from tests.integration.live_server import LiveServer, live_cluster, live_server

USAGE = Slot("usage", 3)
HEALTH = Slot("health", 1)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    async with live_server(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    async with live_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["single", "cluster"])
async def store(
    request: pytest.FixtureRequest, server: LiveServer, cluster: LiveServer
) -> AsyncIterator[LiveStore]:
    """The contract holds on one server and on a cluster."""
    running = server if request.param == "single" else cluster
    async with LiveStore(running.settings(topology=request.param)) as opened:
        yield opened


@pytest.fixture
async def one(server: LiveServer) -> AsyncIterator[LiveStore]:
    """A store on the single server, for faults that are injected into that server."""
    async with LiveStore(server.settings()) as opened:
        yield opened


def usage(
    start: int, end: int, writes: Mapping[str, bytes | None] | None = None, *outbox: OutboxEntry
) -> Commit:
    return Commit({"usage": (start, end)}, writes or {}, outbox, clock_us=1_000_000 + end)


def entry(seq: int, value: bytes = b"value") -> OutboxEntry:
    return OutboxEntry(seq, "outcomes", b"openai", value, timestamp_ms=1_700_000_000_000 + seq)


async def folded(store: LiveStore) -> dict[str, int]:
    """The next offset of each topic in the slot of most tests."""
    return (await store.checkpoints((USAGE,)))[USAGE].next_offsets


async def everything(store: LiveStore) -> dict[str, object]:
    """All keys of the store's namespace with their whole contents, but who holds the slots."""
    keys = await store.connection.keys_with_prefix(store.settings.namespace)
    return {key: await store.connection.command("DUMP", key) for key in keys}


async def snapshot(client: Redis, namespace: str) -> dict[bytes, bytes | None]:
    """What a failover to a lagging replica would bring back."""
    return {key: await client.dump(key) async for key in client.scan_iter(match=f"{namespace}*")}


async def roll_back(client: Redis, namespace: str, to: Mapping[bytes, bytes | None]) -> None:
    async for key in client.scan_iter(match=f"{namespace}*"):
        await client.delete(key)
    for key, dumped in to.items():
        assert dumped is not None
        await client.restore(key, 0, dumped)


async def test_fresh_slot_has_no_offsets(store: LiveStore) -> None:
    """The first owner starts wherever the log begins."""
    lease = await store.acquire(USAGE, "ann")
    assert (lease.next_offsets, lease.clock_us, lease.outbox_seq, lease.outbox, lease.derived) == (
        {},
        0,
        0,
        (),
        {},
    )


async def test_commit_moves_state_and_checkpoint_together(store: LiveStore) -> None:
    """What a commit wrote and where it ended are found again by the next owner."""
    lease = await store.acquire(HEALTH, "ann")
    writes = {"breaker:openai/gpt-4o": b"b1", "window:openai/gpt-4o": b"w1", "health:openai/gpt-4o": b"h1"}
    await store.commit(lease, Commit({"outcomes": (7, 12), "health": (0, 3)}, writes, (), clock_us=99))
    await store.commit(
        lease, Commit({"outcomes": (12, 20)}, {"window:openai/gpt-4o": None}, (), clock_us=100)
    )
    again = await store.acquire(HEALTH, "bob")
    assert (again.next_offsets, again.clock_us) == ({"outcomes": 20, "health": 3}, 100)
    assert again.epoch > lease.epoch
    assert await store.read(HEALTH, list(writes)) == {
        "breaker:openai/gpt-4o": b"b1",
        "health:openai/gpt-4o": b"h1",
    }


async def test_large_commit_is_one_call(store: LiveStore) -> None:
    """Two thousand keys and two megabytes pass, and all of them are there."""
    lease = await store.acquire(USAGE, "ann")
    writes: dict[str, bytes | None] = {
        f"spend:acme|user=u{number}|20400": b"x" * 1000 for number in range(2000)
    }
    outbox = [entry(seq, b"y" * 100) for seq in range(1, 2001)]
    await store.commit(lease, usage(0, 5000, writes, *outbox))
    assert await store.read(USAGE, list(writes)) == writes
    await store.commit(lease, usage(5000, 5001, dict.fromkeys(writes)))
    assert await store.read(USAGE, list(writes)) == {}
    assert (await store.acquire(USAGE, "bob")).outbox == tuple(outbox)


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


async def test_outbox_with_a_gap_is_refused(store: LiveStore) -> None:
    """Numbers of outbox entries go on without gaps, within a commit and after the last one."""
    lease = await store.acquire(USAGE, "ann")
    with pytest.raises(BrokenInvariantError, match="outbox entry 1 is followed by 3"):
        await store.commit(lease, usage(0, 5, {}, entry(1), entry(3)))
    with pytest.raises(StaleCheckpointError, match="the outbox ends with 0, the commit goes on with 2"):
        await store.commit(lease, usage(0, 5, {}, entry(2)))


async def test_commit_that_goes_backwards_is_refused(store: LiveStore) -> None:
    """A checkpoint never moves back."""
    lease = await store.acquire(USAGE, "ann")
    with pytest.raises(BrokenInvariantError, match="cannot advance usage from 5 to 4"):
        await store.commit(lease, usage(5, 4))


async def test_key_without_kind_is_refused(store: LiveStore) -> None:
    """A state key cannot be taken for one of the slot's own keys."""
    lease = await store.acquire(USAGE, "ann")
    with pytest.raises(BrokenInvariantError, match="'meta' is no state key"):
        await store.commit(lease, usage(0, 1, {"meta": b"x"}))


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


async def test_wipe_leaves_other_slots_alone(store: LiveStore) -> None:
    """Slot 3 is not slot 31."""
    neighbour = await store.acquire(Slot("usage", 31), "ann")
    await store.acquire(USAGE, "ann")
    await store.commit(neighbour, usage(0, 5, {"budgets:acme": b"x"}))
    await store.wipe(USAGE)
    await store.check(neighbour)
    assert await store.read(neighbour.slot, ["budgets:acme"]) == {"budgets:acme": b"x"}


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


async def test_outbox_waits_until_it_is_published(store: LiveStore) -> None:
    """The next owner gets what is not on the log yet, and where to look for what is."""
    lease = await store.acquire(USAGE, "ann")
    await store.commit(lease, usage(0, 5, {}, entry(1), entry(2)))
    await store.commit(lease, usage(5, 9, {}, entry(3)))
    await store.published(lease, 2, {"outcomes-1": 17})
    again = await store.acquire(USAGE, "bob")
    assert (again.outbox, again.outbox_seq, again.derived) == ((entry(3),), 3, {"outcomes-1": 17})
    await store.published(again, 3, {"outcomes-1": 18, "alerts-0": 4})
    await store.published(again, 3, {})
    last = await store.acquire(USAGE, "bob")
    assert (last.outbox, last.outbox_seq, last.derived) == ((), 3, {"outcomes-1": 18, "alerts-0": 4})


async def test_ids_of_a_kind_are_listed(store: LiveStore) -> None:
    """What was written and not deleted is listed by slot, and read whole without a scan."""
    lease = await store.acquire(HEALTH, "ann")
    other = await store.acquire(Slot("health", 2), "ann")
    commit = Commit(
        {}, {"provider:openai": b"1", "provider:azure": b"2", "window:openai/x": b"w"}, (), clock_us=1
    )
    await store.commit(lease, commit)
    await store.commit(other, Commit({}, {"provider:mistral": b"3"}, (), clock_us=1))
    await store.commit(lease, Commit({}, {"provider:azure": None}, (), clock_us=2))
    slots = (HEALTH, other.slot, Slot("health", 0))
    assert await store.ids(slots, "provider") == {
        HEALTH: ["openai"],
        other.slot: ["mistral"],
        Slot("health", 0): [],
    }
    assert await store.read_all(slots, "provider") == {"openai": b"1", "mistral": b"3"}


async def test_checkpoints_of_many_slots(store: LiveStore) -> None:
    """Status and waits see where each slot is; one that never was has no offsets."""
    lease = await store.acquire(USAGE, "ann")
    await store.commit(lease, usage(0, 5, {}, entry(1)))
    found = await store.checkpoints((USAGE, HEALTH))
    assert (found[USAGE].owner, found[USAGE].epoch) == ("ann", lease.epoch)
    assert (found[USAGE].next_offsets, found[USAGE].outbox_seq, found[USAGE].published_seq) == (
        {"usage": 5},
        1,
        0,
    )
    assert (found[HEALTH].epoch, found[HEALTH].next_offsets) == (0, {})


async def test_commit_announces_what_changed(store: LiveStore) -> None:
    """A subscriber learns the slot, its offsets and the keys; too many of one kind are told by the kind."""
    lease = await store.acquire(USAGE, "ann")
    async with await store.connection.subscribe(store.keyspace.channel) as pushes:
        await store.commit(lease, usage(0, 5, {"budgets:acme": b"x", "raised:acme": None}, entry(1)))
        await store.published(lease, 1, {})
        many: dict[str, bytes | None] = {
            f"spend:acme|user=u{number}|1": b"x" for number in range(KEYS_NAMED_OF_A_KIND + 1)
        }
        await store.commit(lease, usage(5, 6, many | {"budgets:acme": b"y"}))
        told = [Change.from_json((await pushes.receive()).data) for _ in range(3)]
    assert told == [
        Change(USAGE, {"usage": 5}, ("budgets:acme", "raised:acme")),
        Change(USAGE),
        Change(USAGE, {"usage": 6}, ("budgets:acme",), ("spend",)),
    ]


async def test_functions_are_loaded_again_when_the_server_lost_them(store: LiveStore) -> None:
    """A server that was replaced by an empty one is given the functions by whoever calls first."""
    lease = await store.acquire(USAGE, "ann")
    await store.connection.command("FUNCTION FLUSH")
    await store.commit(lease, usage(0, 5))
    await asyncio.gather(store.connection.command("FUNCTION FLUSH"), store.commit(lease, usage(5, 9)))
    assert await folded(store) == {"usage": 9}


async def test_generations_live_side_by_side(store: LiveStore) -> None:
    """A rebuild writes beside the live one; the cut-over moves who follows, and the leases of before end."""
    rebuild_settings = store.settings.model_copy(update={"generation": 2})
    async with LiveStore(rebuild_settings) as rebuild:
        lease = await store.acquire(USAGE, "ann")
        await store.commit(lease, usage(0, 5, {"budgets:acme": b"first"}))
        rebuilt = await rebuild.acquire(USAGE, "rebuild")
        await rebuild.commit(rebuilt, usage(0, 5, {"budgets:acme": b"second"}))
        assert await store.read(USAGE, ["budgets:acme"]) == {"budgets:acme": b"first"}
        await rebuild.name_live(2)
    assert await store.follow() == 2
    assert await store.read(USAGE, ["budgets:acme"]) == {"budgets:acme": b"second"}
    with pytest.raises(FencedError, match="rebuild holds the slot"):
        await store.commit(lease, usage(5, 9))


async def test_permits_are_bounded_per_deployment_and_epoch(store: LiveStore) -> None:
    """At most so many probes are out at once; a returned or ended one makes room."""
    permits = Permits(store, partitions=4)
    first = await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=1_000)
    second = await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=2_000)
    assert first is not None
    assert second is not None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=3_000) is None
    assert await permits.acquire("openai/gpt-4o", 8, concurrent=2, now_us=3_000) is not None
    assert await permits.acquire("openai/gpt-4o-mini", 7, concurrent=2, now_us=3_000) is not None
    await permits.release(first)
    await permits.release(first)
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=4_000) is not None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=second.until_us - 1) is None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=second.until_us) is not None


async def test_permits_hold_among_many_gateways(store: LiveStore) -> None:
    """Asked at once, no more are granted than there are."""
    permits = Permits(store, partitions=4)
    asked = [permits.acquire("openai/gpt-4o", 1, concurrent=3, now_us=1_000) for _ in range(20)]
    assert sum(permit is not None for permit in await asyncio.gather(*asked)) == 3


async def test_foreign_key_of_another_type_is_a_broken_invariant(one: LiveStore) -> None:
    """Where something else wrote into our names, the commit fails before it changed anything."""
    lease = await one.acquire(HEALTH, "ann")
    await one.connection.command("SET", one.keyspace.index(HEALTH, "breaker"), "foreign")
    before = await everything(one)
    with pytest.raises(BrokenInvariantError, match="WRONGTYPE"):
        await one.commit(lease, Commit({"outcomes": (0, 1)}, {"breaker:a/b": b"x"}, (), clock_us=1))
    assert await everything(one) == before
