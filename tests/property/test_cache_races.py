"""However reads, commits and pushes interleave, the cache never keeps a value that is older than the last push."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from projections.live.cache import LiveCache
from projections.live.change import Change
from projections.live.entries import MISSING
from projections.live.kind import Kind
from projections.live.slots import Slot, slot_of
from projections.live.store import LiveStore
from projections.settings import LiveSettings

PARTITIONS = 2
HEALTH: Kind[int] = Kind("health", int, 60.0)
IDS = ("a/m", "b/m")

WRITES = ("commit", "commit_many", "delete")
OFTEN = (*WRITES, "hear", "hear", "fetch", "fetch", "read", "read", "answer_first", "answer_last")

# What races needs one state, several reads and little else: the second id and lost subscriptions come now and then.
scripts = st.lists(
    st.tuples(
        st.sampled_from((*OFTEN, *OFTEN, "lose", "subscribe", "subscribe", "subscribe")),
        st.sampled_from((*IDS[:1] * 4, *IDS)),
    ),
    min_size=30,
    max_size=80,
)


class SteppedStore(LiveStore):
    """State in memory; a read sees it when the test says so, and returns when the test says so."""

    def __init__(self) -> None:
        super().__init__(LiveSettings())
        self.states: dict[str, int] = {}
        self.asked: deque[tuple[list[str], asyncio.Future[dict[str, bytes]]]] = deque()
        self.seen: deque[tuple[dict[str, bytes], asyncio.Future[dict[str, bytes]]]] = deque()

    async def read_slots(self, wanted: Mapping[Slot, Sequence[str]]) -> dict[Slot, dict[str, bytes]]:
        answer: asyncio.Future[dict[str, bytes]] = asyncio.get_running_loop().create_future()
        self.asked.append(([key for keys in wanted.values() for key in keys], answer))
        found = await answer
        return {slot: {key: found[key] for key in keys if key in found} for slot, keys in wanted.items()}

    def see(self) -> None:
        """The first read that was asked reaches the server."""
        if self.asked:
            keys, answer = self.asked.popleft()
            seen = {key: str(self.states[key]).encode() for key in keys if key in self.states}
            self.seen.append((seen, answer))

    def answer(self, *, at: int) -> None:
        """A reply arrives; over several connections the later may be the first."""
        if self.seen:
            self.seen.rotate(-at)
            seen, answer = self.seen.popleft()
            self.seen.rotate(at)
            answer.set_result(seen)


@dataclass(slots=True)
class Play:
    """One script under way. `history` is every value that a state had; `heard` is which of them a push told of last."""

    store: SteppedStore = field(default_factory=SteppedStore)
    pushes: deque[tuple[Change, str, int]] = field(default_factory=deque)
    fetches: list[tuple[asyncio.Task[int | None], str, int]] = field(default_factory=list)
    history: dict[str, list[int | None]] = field(
        default_factory=lambda: {state_id: [None] for state_id in IDS}
    )
    heard: dict[str, int] = field(default_factory=lambda: dict.fromkeys(IDS, 0))
    is_subscribed: bool = True
    cache: LiveCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = LiveCache(self.store, PARTITIONS)
        self.cache.subscribed()

    def take(self, step: str, state_id: str, version: int) -> None:
        match step:
            case _ if step in WRITES:
                self.write(step, state_id, version)
            case "hear" if self.pushes:
                change, changed, at = self.pushes.popleft()
                self.heard[changed] = at
                self.cache.changed(change)
            case "fetch":
                fetch = asyncio.create_task(self.cache.fetch(HEALTH, state_id))
                self.fetches.append((fetch, state_id, self.heard[state_id]))
            case "read":
                self.store.see()
            case "answer_first" | "answer_last":
                self.store.answer(at=0 if step == "answer_first" else -1)
            case "lose" if self.is_subscribed:
                self.is_subscribed = False
                self.pushes.clear()
                self.cache.lost()
            case "subscribe" if not self.is_subscribed:
                self.is_subscribed = True
                self.heard = {name: len(values) - 1 for name, values in self.history.items()}
                self.cache.subscribed()
            case _:
                pass

    def write(self, step: str, state_id: str, version: int) -> None:
        """What the owner of the slot does, and what its commit pushes to who has subscribed."""
        key = f"health:{state_id}"
        self.store.states.pop(key, None)
        if step != "delete":
            self.store.states[key] = version
        self.history[state_id].append(self.store.states.get(key))
        slot = slot_of("health", state_id, PARTITIONS)
        change = Change(slot, {}, (), ("health",)) if step == "commit_many" else Change(slot, {}, (key,))
        if self.is_subscribed:
            self.pushes.append((change, state_id, len(self.history[state_id]) - 1))

    def check(self) -> None:
        """What the cache knows is not older than the last push; without a subscription it knows nothing."""
        for state_id in IDS:
            known = self.cache.get(HEALTH, state_id)
            if not self.is_subscribed:
                assert known is MISSING
            assert known is MISSING or known in self.history[state_id][self.heard[state_id] :]

    async def finish(self) -> None:
        """All that is under way ends; every answer is at least as new as what was heard when it was asked for."""
        while self.pushes:
            self.take("hear", "", 0)
        while self.store.asked or self.store.seen:
            self.store.see()
            self.store.answer(at=0)
            await settle()
        for fetch, state_id, heard in self.fetches:
            assert await fetch in self.history[state_id][heard:]
        self.check()


async def play(script: Sequence[tuple[str, str]]) -> None:
    it = Play()
    for version, (step, state_id) in enumerate(script):
        it.take(step, state_id, version)
        await settle()
        it.check()
    await it.finish()


async def settle() -> None:
    """Let every task run until it waits for the store."""
    for _ in range(8):
        await asyncio.sleep(0)


@settings(max_examples=400)
@given(scripts)
def test_no_interleaving_leaves_an_old_value(script: Sequence[tuple[str, str]]) -> None:
    """Reads before, during and after the commits and pushes that change what they read."""
    asyncio.run(play(script))
