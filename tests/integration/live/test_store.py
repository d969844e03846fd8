"""The live store on a real server: one atomic commit, and what readers and the next owner find of it."""

from __future__ import annotations

import asyncio

import pytest

from projections.errors import BrokenInvariantError, FencedError, LiveUnavailableError, StaleCheckpointError
from projections.live.change import KEYS_NAMED_OF_A_KIND, Change
from projections.live.commit import Commit
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.made_with import FOLDS, Projection
from tests.integration.live.slots import HEALTH, USAGE, entry, everything, folded, usage


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


async def test_a_slot_of_a_later_fold_is_not_taken_up(
    store: LiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of an older release waits; a newer one goes on with an older slot, which stays what it was begun with."""
    now = FOLDS[Projection.LIVE]
    await store.acquire(HEALTH, "now")
    monkeypatch.setitem(FOLDS, Projection.LIVE, now + 1)
    await store.acquire(HEALTH, "later")
    await store.acquire(USAGE, "later")
    monkeypatch.setitem(FOLDS, Projection.LIVE, now)
    await store.acquire(HEALTH, "now")
    with pytest.raises(LiveUnavailableError, match=f"is of fold {now + 1}, which a later release has made"):
        await store.acquire(USAGE, "now")
    held = await store.checkpoints([USAGE, HEALTH])
    assert (held[USAGE].owner, held[USAGE].made_with.fold) == ("later", now + 1)
    assert (held[HEALTH].owner, held[HEALTH].made_with.fold) == ("now", now)


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


async def test_wipe_leaves_other_slots_alone(store: LiveStore) -> None:
    """Slot 3 is not slot 31."""
    neighbour = await store.acquire(Slot("usage", 31), "ann")
    await store.acquire(USAGE, "ann")
    await store.commit(neighbour, usage(0, 5, {"budgets:acme": b"x"}))
    await store.wipe(USAGE)
    await store.check(neighbour)
    assert await store.read(neighbour.slot, ["budgets:acme"]) == {"budgets:acme": b"x"}


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


async def test_foreign_key_of_another_type_is_a_broken_invariant(one: LiveStore) -> None:
    """Where something else wrote into our names, the commit fails before it changed anything."""
    lease = await one.acquire(HEALTH, "ann")
    await one.connection.command("SET", one.keyspace.index(HEALTH, "breaker"), "foreign")
    before = await everything(one)
    with pytest.raises(BrokenInvariantError, match="WRONGTYPE"):
        await one.commit(lease, Commit({"outcomes": (0, 1)}, {"breaker:a/b": b"x"}, (), clock_us=1))
    assert await everything(one) == before
