"""The live state of the new deployment: folded from what was carried, and compared with that of the old one, key by key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from events.carried import in_log
from events.codec import Codec
from events.positions import Partition, PositionVector
from events.publisher import Publisher
from events.settings import LogSettings
from processors.rebuild.bad_records import BadRecord, NothingAppended
from processors.rebuild.building import Building, Options
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.progress import Progress
from processors.rebuild.target import Target
from processors.repartition.whereabouts import Known
from processors.retry import until_done
from processors.verify.live import NOT_COMPARED as NOT_STATES
from processors.verify.pace import Share
from processors.verify.slot_proof import Means, SlotProof
from projections.live.canonical import encode
from projections.live.digest import LIVE_AND_LOG, Comparison, Sides
from projections.live.look import KEYS_AT_ONCE, keys_of
from projections.live.slots import INDEXED_KINDS, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.live.window import Window, source_name

DERIVED = ("outcomes", "breakers", "alerts")
"""Topics of which a slot looks for what it has derived before."""

OLD_AND_NEW = Sides("only in the old deployment", "only in the new deployment", "old", "new")
OF_PARTITIONS = NOT_STATES | {"horizon", "index"}
"""Kinds of keys that are about offsets of one partition, or are compared by their members."""


@dataclass(slots=True)
class NewLive(Building):
    """Folds what the new log holds. All of it was decided in the old deployment: it is applied, and nothing is decided.

    `known` tells which records the old workers have refused. `token` is that of the lock of the new generations.
    """

    known: Known
    token: str
    _judge: NothingAppended = field(init=False)
    _pasts: Mapping[Slot, KeptPast] = field(init=False)
    _means: Means = field(init=False)
    _proofs: dict[Slot, SlotProof] = field(init=False, default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, log: LogSettings, follower: LiveStore, codec: Codec, known: Known, token: str
    ) -> AsyncIterator[Self]:
        """With a store that stays with the generation that is live there."""
        async with Publisher(log, codec) as publisher:
            quiet = Progress(lambda *_: None)
            new = cls(log, follower, codec, publisher, Options(), quiet, lambda _: None, known, token)
            async with new.store(await new.generations.live()) as store:
                new._begin_in(store)
                yield new

    def _begin_in(self, store: LiveStore) -> None:
        self._judge = NothingAppended(frozenset(), skips=False)
        self._pasts = {
            slot: KeptPast(self.log, self.codec, self.reader, slot.partition) for slot in self.slots
        }
        self._means = Means(self.log, store, self.codec, self.progress, Share(1), self.reader)

    @property
    def states(self) -> LiveStore:
        """Where they are."""
        return self._means.store

    async def fold_to(self, ends: PositionVector) -> tuple[BadRecord, ...]:
        """Up to these ends, or on to them; what is not named is left. The bad records that were passed over so far.

        Each slot is opened anew, so that it takes up what was carried of its decisions, also when it has nothing else to fold.
        """
        self._judge.letters = self.known.letters_in(self.log)
        hints = {
            f"{place.topic}.{place.number}": end for place, end in ends.items() if place.topic in DERIVED
        }
        targets = {}
        for slot, held in (await self.states.checkpoints(self.slots)).items():
            at = held.next_offsets
            to = {
                topic: max(at.get(topic, 0), ends.get(Partition(topic, slot.partition), 0))
                for topic in TOPICS_OF_LEAD[slot.lead]
            }
            targets[slot] = Target(to, hints)
        rebuilds = self.rebuilds(self.states, self._judge, self.token, self._pasts)
        await self.reach(rebuilds, targets)
        return tuple(self._judge.skipped.values())

    async def prove(self) -> Comparison:
        """Every key against a naive fold of the new log, which goes on from where it was the last time."""
        found = Comparison(LIVE_AND_LOG)
        keys = await keys_of(self.states, self.slots, NOT_STATES)
        for slot in self.slots:
            proof = self._proofs.setdefault(slot, SlotProof.of(slot, self._means))
            found.merge(await proof.prove(self._means, keys.get(slot, set())))
        return found


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
