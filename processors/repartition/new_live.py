"""The live state of the new deployment: folded from what was carried, and compared with that of the old one, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from events.carried import in_log
from events.positions import Partition, PositionVector
from processors.rebuild.bad_records import BadRecord
from processors.rebuild.building import Building
from processors.rebuild.compare import NOT_COMPARED
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.target import Target
from processors.retry import until_done
from projections.live.canonical import encode
from projections.live.digest import Comparison, Sides
from projections.live.lock import GenerationLock
from projections.live.look import KEYS_AT_ONCE, keys_of
from projections.live.slots import INDEXED_KINDS, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.live.window import Window, source_name

DERIVED = ("outcomes", "breakers", "alerts")
"""Topics of which a slot looks for what it has derived before."""

OLD_AND_NEW = Sides("only in the old deployment", "only in the new deployment", "old", "new")
OF_PARTITIONS = NOT_COMPARED | {"outbox", "horizon", "index"}
"""Kinds of keys that are about offsets of one partition, or are compared by their members."""


@dataclass(slots=True)
class NewLive(Building):
    """Folds all that the new log holds. All of it was decided in the old deployment: it is applied, and nothing is decided."""

    async def build(self, ends: PositionVector) -> tuple[BadRecord, ...]:
        """Up to these ends, or on to them from where it is; the bad records that were passed over, as the old workers did."""
        async with GenerationLock(self.follower.connection, self.live_settings.namespace) as lock:
            return await lock.during(lambda: self._build(ends, lock.token))

    async def _build(self, ends: PositionVector, token: str) -> tuple[BadRecord, ...]:
        hints = {
            f"{place.topic}.{place.number}": end for place, end in ends.items() if place.topic in DERIVED
        }
        targets = {
            slot: Target(
                {topic: ends[Partition(topic, slot.partition)] for topic in TOPICS_OF_LEAD[slot.lead]}, hints
            )
            for slot in self.slots
        }
        live = await self.generations.live()
        vectors = {slot: target.next_offsets for slot, target in targets.items()}
        begun = any(held for held in (await self.ends_of(live)).values())
        plan = await self.planned(live, live, begun, vectors)
        self.begin(plan, f"in {self.live_settings.namespace}")
        judge = await self.judge()
        async with self.store(live) as new:
            pasts = {slot: KeptPast(self.log, self.codec, self.reader, slot.partition) for slot in self.slots}
            await self.reach(self.rebuilds(new, judge, token, pasts), targets)
        return tuple(judge.skipped.values())


async def compare_deployments(
    old: LiveStore, old_slots: Sequence[Slot], new: LiveStore, new_slots: Sequence[Slot], prefix: str
) -> Comparison:
    """Every state of the old deployment and of the new one, in whichever slot it is. `prefix` is the old log's.

    Horizons and checkpoints are about offsets of partitions, which are others here: what a naive fold of the new log says of
    them has to be seen elsewhere.
    """
    comparison = Comparison(OLD_AND_NEW)
    ours, theirs = await _slots_of_keys(old, old_slots), await _slots_of_keys(new, new_slots)
    keys = sorted(ours.keys() | theirs.keys())
    for first in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[first : first + KEYS_AT_ONCE]
        held = {key: _moved(key, value, prefix) for key, value in (await _values(old, ours, some)).items()}
        comparison.add("deployment", held, await _values(new, theirs, some))
    comparison.add("deployment", await _indexes(old, old_slots), await _indexes(new, new_slots))
    return comparison


async def _slots_of_keys(store: LiveStore, slots: Sequence[Slot]) -> dict[str, Slot]:
    found = await until_done("live", lambda: keys_of(store, slots, OF_PARTITIONS))
    return {key: slot for slot, keys in found.items() for key in keys}


async def _values(store: LiveStore, slot_of: Mapping[str, Slot], keys: Sequence[str]) -> dict[str, bytes]:
    wanted: dict[Slot, list[str]] = {}
    for key in keys:
        if key in slot_of:
            wanted.setdefault(slot_of[key], []).append(key)
    found = await until_done("live", lambda: store.read_slots(wanted))
    return {key: value for values in found.values() for key, value in values.items()}


async def _indexes(store: LiveStore, slots: Sequence[Slot]) -> dict[str, bytes]:
    found = dict[str, bytes]()
    for kind in INDEXED_KINDS:
        ids = await until_done("live", lambda: store.ids(slots, kind))  # noqa: B023 - awaited here
        members = sorted(name for names in ids.values() for name in names)
        found |= {f"index:{kind}": encode(members)} if members else {}
    return found


def _moved(key: str, value: bytes, prefix: str) -> bytes:
    """The state's bytes in the new deployment: windows name the sources of their outcomes."""
    if not key.startswith("window:"):
        return value
    window = Window.from_json(value)
    sources = {}
    for source, offset in window.sources.items():
        topic, _, number = source.rpartition(".")
        sources[source_name(in_log(topic, prefix), int(number))] = offset
    return replace(window, sources=sources).to_json()
