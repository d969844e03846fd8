"""How fresh a read is, on a real store: it waits for what it asked for, or says how far behind the projection is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field

import pytest

from events.positions import InvalidPositionError, Partition
from projections.errors import LaggingError
from projections.live.changes import Changes
from projections.live.commit import Commit, Lease
from projections.live.consistency import Consistency, Waits
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot
from projections.live.store import LiveStore
from tests.integration.live_server import LiveServer, until

PARTITIONS = 2
USAGE = Slot("usage", 1)
HEALTH = Slot("health", 0)
OTHER_HEALTH = Slot("health", 1)
SOON_S = 0.15


@dataclass(slots=True)
class Ends:
    """The log's ends as a test sets them; notes what was asked for."""

    ends: dict[Partition, int] = field(default_factory=dict)
    asked: list[set[Partition]] = field(default_factory=list)

    async def __call__(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        self.asked.append(set(partitions))
        return {partition: self.ends.get(partition, 0) for partition in partitions}


@dataclass(slots=True)
class World:
    """A worker that folds by hand, and a reader that waits for it."""

    store: LiveStore
    ends: Ends
    waits: Waits
    leases: dict[Slot, Lease] = field(default_factory=dict)
    seqs: dict[Slot, int] = field(default_factory=dict)

    async def fold(self, slot: Slot, topic: str, end: int, *, derives: int = 0) -> None:
        """The slot's owner folds the topic up to `end`, and leaves so many derived events in the outbox."""
        if slot not in self.leases:
            self.leases[slot] = await self.store.acquire(slot, "worker")
        checkpoint = (await self.store.checkpoints((slot,)))[slot]
        start = checkpoint.next_offsets.get(topic, 0)
        seq = self.seqs.get(slot, 0)
        outbox = [OutboxEntry(seq + number, "outcomes", b"k", b"v", 1) for number in range(1, derives + 1)]
        await self.store.commit(self.leases[slot], Commit({topic: (start, end)}, {}, outbox, clock_us=1))
        self.seqs[slot] = seq + derives

    async def publish(self, slot: Slot, *, left: int = 0) -> None:
        """All but the last `left` entries of the outbox reach the log."""
        await self.store.published(self.leases[slot], self.seqs[slot] - left, {})

    def session(self, slots: Collection[Slot], **positions: int) -> asyncio.Task[None]:
        """A read of the slots by who has seen those positions, written usage_1=5."""
        at_least = {Partition(*_split(name)): offset for name, offset in positions.items()}
        return asyncio.create_task(self.waits.reach(Consistency.SESSION, slots, at_least))


def _split(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("_")
    return topic, int(number)


@pytest.fixture
async def it(server: LiveServer) -> AsyncIterator[World]:
    """Pushes only: a wait that relied on polling would run into its bound."""
    async with LiveStore(server.settings(consistency_poll_s=5.0, consistency_timeout_s=4.0)) as store:
        ends = Ends()
        waits = Waits(store, PARTITIONS, ends)
        ready = Ready()
        async with Changes(store, (waits, ready)):
            await until(lambda: ready.is_subscribed)
            yield World(store, ends, waits)


@dataclass(slots=True)
class Ready:
    """Notes that pushes arrive."""

    is_subscribed: bool = False

    def subscribed(self) -> None:
        self.is_subscribed = True

    def changed(self, change: object) -> None: ...

    def lost(self) -> None: ...


async def waits_still(read: asyncio.Task[None]) -> bool:
    """True when the read is not answered within a moment."""
    await asyncio.wait({read}, timeout=SOON_S)
    return not read.done()


async def test_eventual_read_never_waits(it: World) -> None:
    """Neither the log nor the store is asked."""
    await it.waits.reach(Consistency.EVENTUAL, (USAGE, HEALTH))
    assert it.ends.asked == []


async def test_session_read_waits_until_its_position_is_folded(it: World) -> None:
    """The offset of a token is the next one: at the checkpoint itself all below is folded."""
    await it.fold(USAGE, "usage", 4)
    read = it.session((USAGE,), usage_1=5)
    assert await waits_still(read)
    await it.fold(USAGE, "usage", 5)
    await read
    assert it.ends.asked == []


async def test_session_read_waits_for_every_position(it: World) -> None:
    """Tokens of several appends are waited for together, those of other slots included."""
    read = it.session((USAGE,), usage_1=2, budgets_1=1, budgets_0=3)
    await it.fold(USAGE, "usage", 2)
    await it.fold(Slot("usage", 0), "budgets", 3)
    assert await waits_still(read)
    await it.fold(USAGE, "budgets", 1)
    await read


async def test_position_that_is_folded_already_costs_no_wait(it: World) -> None:
    """A session that reads late is answered at once."""
    await it.fold(USAGE, "usage", 9)
    await it.session((USAGE,), usage_1=5)


async def test_breaker_read_waits_for_what_follows_from_usage(it: World) -> None:
    """Usage is folded, its outcomes are appended, then they are folded: only then does the breaker know of it."""
    read = it.session((HEALTH,), usage_1=5)
    await it.fold(USAGE, "usage", 5, derives=2)
    assert await waits_still(read)
    assert it.ends.asked == []
    it.ends.ends[Partition("outcomes", 0)] = 7
    await it.publish(USAGE, left=1)
    assert await waits_still(read)
    await it.publish(USAGE)
    assert await waits_still(read)
    assert it.ends.asked == [{Partition("outcomes", 0)}]
    await it.fold(HEALTH, "outcomes", 7)
    await read


async def test_breaker_read_does_not_wait_for_later_outboxes(it: World) -> None:
    """A busy partition, whose outbox is never empty, holds up no read of what came before."""
    read = it.session((HEALTH,), usage_1=5)
    await it.fold(USAGE, "usage", 5, derives=1)
    assert await waits_still(read)
    await it.fold(USAGE, "usage", 9, derives=3)
    assert await waits_still(read)
    await it.publish(USAGE, left=3)
    await read


async def test_breaker_read_survives_a_slot_that_begins_anew(it: World) -> None:
    """A flush while the read waits for the outbox makes it wait for the fold again, not for ever."""
    read = it.session((HEALTH,), usage_1=5)
    await it.fold(USAGE, "usage", 5, derives=40)
    assert await waits_still(read)
    await it.store.wipe(USAGE)
    it.leases.clear()
    it.seqs.clear()
    await it.fold(USAGE, "usage", 3, derives=1)
    await it.publish(USAGE)
    assert await waits_still(read)
    await it.fold(USAGE, "usage", 5, derives=1)
    await it.publish(USAGE)
    await read


async def test_health_read_waits_for_what_follows_from_a_check(it: World) -> None:
    """A health check of a deployment is an outcome as well."""
    it.ends.ends[Partition("outcomes", 0)] = 1
    read = it.session((HEALTH,), health_0=1)
    await it.fold(HEALTH, "health", 1, derives=1)
    await it.publish(HEALTH)
    assert await waits_still(read)
    await it.fold(HEALTH, "outcomes", 1)
    await read


@pytest.mark.parametrize("topic", ["outcomes", "overrides", "providers"])
async def test_provider_topics_are_waited_for_in_one_stage(it: World, topic: str) -> None:
    """What is folded straight into the slot needs no look at the log."""
    read = it.session((HEALTH,), **{f"{topic}_0": 3})
    assert await waits_still(read)
    await it.fold(HEALTH, topic, 3)
    await read
    assert it.ends.asked == []


async def test_strong_read_waits_for_the_end_of_the_log_at_its_time(it: World) -> None:
    """What is appended after the request is not waited for."""
    it.ends.ends = {Partition("usage", 1): 5, Partition("budgets", 1): 2}
    read = asyncio.create_task(it.waits.reach(Consistency.STRONG, (USAGE,)))
    await it.fold(USAGE, "usage", 5)
    assert await waits_still(read)
    it.ends.ends = {Partition("usage", 1): 50, Partition("budgets", 1): 20}
    await it.fold(USAGE, "budgets", 2)
    await read
    assert it.ends.asked == [set(USAGE.partitions)]


async def test_strong_read_of_breakers_waits_for_all_usage(it: World) -> None:
    """Any tenant may have called the provider, so every usage partition counts, and of outcomes those that are read."""
    it.ends.ends = {Partition("usage", 1): 5, Partition("outcomes", 0): 3, Partition("overrides", 0): 1}
    read = asyncio.create_task(it.waits.reach(Consistency.STRONG, (HEALTH,)))
    await it.fold(HEALTH, "outcomes", 3)
    await it.fold(HEALTH, "overrides", 1)
    assert await waits_still(read)
    it.ends.ends[Partition("outcomes", 0)] = 4
    await it.fold(USAGE, "usage", 5, derives=1)
    await it.publish(USAGE)
    assert await waits_still(read)
    await it.fold(HEALTH, "outcomes", 4)
    await read
    provider = {Partition(topic, 0) for topic in ("outcomes", "health", "overrides", "providers")}
    assert it.ends.asked == [
        provider | {Partition("usage", 0), Partition("usage", 1)},
        {Partition("outcomes", 0)},
    ]


async def test_wait_polls_where_no_push_arrives(server: LiveServer) -> None:
    """Without a subscription a wait takes a little longer, that is all."""
    async with LiveStore(server.settings(consistency_poll_s=0.02)) as store:
        it = World(store, Ends(), Waits(store, PARTITIONS, Ends()))
        read = it.session((USAGE,), usage_1=5)
        assert await waits_still(read)
        await it.fold(USAGE, "usage", 5)
        await read


async def test_wait_that_runs_out_tells_the_lag(server: LiveServer) -> None:
    """No stale answer in silence: the error says what is missing, by partition."""
    async with LiveStore(server.settings(consistency_timeout_s=0.1, consistency_poll_s=0.02)) as store:
        it = World(store, Ends(), Waits(store, PARTITIONS, Ends()))
        await it.fold(USAGE, "usage", 3)
        with pytest.raises(LaggingError, match=r"budgets-0:7,usage-1:2") as lagging:
            await it.session((USAGE,), usage_1=5, budgets_0=7)
        assert lagging.value.lag == {Partition("usage", 1): 2, Partition("budgets", 0): 7}
        await it.fold(USAGE, "usage", 5, derives=1)
        with pytest.raises(LaggingError) as unpublished:
            await it.session((HEALTH,), usage_1=5)
        assert unpublished.value.lag == {Partition("usage", 1): 0}


async def test_log_that_does_not_tell_its_end_is_waited_for_no_longer(server: LiveServer) -> None:
    """The bound holds for the whole read."""

    async def never(_partitions: Collection[Partition]) -> dict[Partition, int]:
        await asyncio.Event().wait()
        return {}

    async with LiveStore(server.settings(consistency_timeout_s=0.05)) as store:
        with pytest.raises(LaggingError, match=r"the log's end was not told within 0\.05 s"):
            await Waits(store, PARTITIONS, never).reach(Consistency.STRONG, (USAGE,))


@pytest.mark.parametrize("position", ["usage_2", "breakers_0", "nonsense_0"])
async def test_position_that_nothing_folds_is_refused(it: World, position: str) -> None:
    """Such a token would be waited for in vain."""
    with pytest.raises(InvalidPositionError):
        await it.session((USAGE,), **{position: 1})
