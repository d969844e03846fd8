"""Some topics, and the collections that are folded from them: their documents beside a naive count of the events.

Chroma has no snapshot, so a document is read after the checkpoint and before the one that the log is folded up to: it is
somewhere between, and says where. What does not fit is read once more by its id before it is called a difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

from events.codec import Codec
from events.partitioner import partition_of
from events.positions import Partition
from events.reader import LogReader, Range
from events.settings import LogSettings
from processors.verify.analytics_documents import Verdict, compact, key_of, name_of
from processors.verify.analytics_place import PlaceProof
from processors.verify.errors import BegunAnewError, OtherLogError
from processors.verify.naive.windows import NaiveWindows
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoint, Checkpoints
from projections.analytics.chroma import Chroma, Stored
from projections.analytics.embedding import Vectors
from projections.analytics.places import full_name
from projections.analytics.retention import cutoffs_us
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.windows import ASPECT_OF_TOPIC, US, Key, Window
from projections.history.excerpt import Excerpt
from projections.live.digest import ANALYTICS_AND_LOG, MOST_NAMED, Comparison

COMPARED_AT_ONCE = 200
CLOCKS_APART_US = 3_600 * US
"""A document so short of the end of its retention may be deleted already: the sink goes by its own clock."""

Name = tuple[str, str]
"""Collection and id of a document."""


@dataclass(slots=True)
class AnalyticsFound:
    """What comparing has found. `positions` is the checkpoint that was compared, by partition.

    `expired` counts documents at the end of their retention, `before_log` those that may tell of records which the log no
    longer holds: nothing proves or refutes them.
    """

    comparison: Comparison = field(default_factory=lambda: Comparison(ANALYTICS_AND_LOG))
    positions: dict[Partition, int] = field(default_factory=dict)
    records: int = 0
    expired: int = 0
    before_log: int = 0
    took_s: float = 0.0

    @property
    def documents(self) -> int:
        """How many were compared."""
        return sum(digest.keys for digest in self.comparison.live.values())


@dataclass(frozen=True, slots=True)
class OnlyOf:
    """A part of the analytics: documents of these collections whose windows reach into an excerpt."""

    excerpt: Excerpt
    collections: Collection[str]

    def holds(self, key: Key) -> bool:
        """Whether a window is meant."""
        wanted = self.excerpt
        return (
            wanted.from_us - key.length_s * US < key.start_us < wanted.to_us
            and wanted.tenant in (None, key.tenant)
            and wanted.provider in (None, key.provider)
        )


@dataclass(frozen=True, slots=True)
class Means:
    """What a proof works with. `told` is called with how many records are folded; `numbers` are the partitions to be compared.

    `only` compares a part.
    """

    log: LogSettings
    analytics: AnalyticsSettings
    codec: Codec
    reader: LogReader
    chroma: Chroma
    vectors: Vectors
    clock_us: Callable[[], int]
    told: Callable[[int], None]
    numbers: Collection[int]
    only: OnlyOf | None = None

    def holds(self, key: Key | None) -> bool:
        """Whether a document of that window is compared; of one that does not say its window, None."""
        return self.only is None or (key is not None and self.only.holds(key))


@dataclass(slots=True)
class GroupProof:
    """Some topics, and the collections that are folded from them. `differing` are the first documents that differ."""

    means: Means
    topics: Sequence[str]
    collections: Sequence[str]
    found: AnalyticsFound
    differing: list[Verdict] = field(init=False, default_factory=list)
    _places: dict[Partition, PlaceProof] = field(init=False, default_factory=dict)

    async def prove(self) -> None:
        """From the beginning."""
        for place, checkpoint in (await self._checkpoints()).items():
            self._places[place] = self._begun(place, checkpoint.next_offset)
            self.found.positions[place] = checkpoint.next_offset
        held: dict[Name, Stored] = {}
        for collection in self.collections:
            async with aclosing(self.means.chroma.every(self._full_name(collection))) as pages:
                async for page in pages:
                    held |= {(collection, one.id): compact(one) for one in page}
        await self._fold_on()
        doubtful = {
            (one.collection, one.id): one
            async for one, live, told in self._compared(self._verdicts(held, None))
            if not self._added(one, live, told)
        }
        if not doubtful:
            return
        again: dict[Name, Stored] = {}
        for collection in self.collections:
            ids = [each for name, each in doubtful if name == collection]
            there = await self.means.chroma.whole(self._full_name(collection), ids)
            again |= {(collection, one.id): one for one in there}
        await self._fold_on()
        async for one, live, told in self._compared(self._verdicts(again, doubtful)):
            self.found.comparison.add(one.place, live, told)
            if live != told and len(self.differing) < MOST_NAMED:
                self.differing.append(one)

    async def windows(self, ids: Collection[str]) -> dict[str, Window]:
        """Those of these windows that the log tells of, by id, with all that any document may have by now."""
        await self._fold_on()
        return {
            key.id: proof.furthest(key, window)
            for proof in self._places.values()
            for key, window in proof.windows()
            if key.id in ids
        }

    def _begun(self, place: Partition, checkpoint: int) -> PlaceProof:
        settings, means = self.means.analytics, self.means
        length_s = settings.window_s if place.topic in ("usage", "routing") else settings.state_window_s
        naive = NaiveWindows.of(place.topic, means.codec, means.log, length_s, checkpoint)
        return PlaceProof(place, naive, means.log)

    async def _checkpoints(self) -> dict[Partition, Checkpoint]:
        held = await Checkpoints(self.means.chroma, self._full_name(CHECKPOINTS)).all()
        return {
            place: one
            for place, one in sorted(held.items())
            if place.topic in self.topics and place.number in self.means.numbers
        }

    async def _fold_on(self) -> None:
        """Up to where the documents may go that have been read by now."""
        checkpoints = await self._checkpoints()
        for topic in self.topics:
            on_log = await self.means.reader.ranges(topic)
            wanted = {
                place.number: _still_to_fold(proof, checkpoints.get(place), on_log.get(place.number))
                for place, proof in self._places.items()
                if place.topic == topic
            }
            async with aclosing(self.means.reader.read(topic, wanted)) as batches:
                async for number, records in batches:
                    proof = self._places[Partition(topic, number)]
                    for record in records:
                        proof.take(record)
                    self.found.records += len(records)
                    self.means.told(self.found.records)

    def _verdicts(self, held: dict[Name, Stored], only: Collection[Name] | None) -> Iterator[Verdict]:
        """Of all documents that are there or have to be; `only` these, if any are named. Takes them out of `held`."""
        oldest = cutoffs_us(self.means.analytics, self.means.clock_us() + CLOCKS_APART_US)
        for place, proof in self._places.items():
            for key, window in proof.windows():
                if not self.means.holds(key):
                    continue
                key_id = key.id
                for collection in self.collections:
                    name = (collection, key_id)
                    if only is not None and name not in only:
                        continue
                    there = held.pop(name, None)
                    if self._is_judged(there, key.start_us, oldest[collection], proof):
                        told = proof.told(collection, key, window, there)
                        called = name_of(collection, key)
                        yield Verdict(str(place), called, collection, key_id, there, told)
        yield from self._unasked(held, oldest)

    def _unasked(self, held: Mapping[Name, Stored], oldest: Mapping[str, int]) -> Iterator[Verdict]:
        """Of documents that no event on the log asks for."""
        for (collection, document_id), there in held.items():
            name = f"{collection}:{document_id}"
            key = key_of(there.metadata)
            if not self.means.holds(key):
                continue
            if key is None:
                yield Verdict(collection, name, collection, document_id, there, None)
                continue
            place = self._place_of(key)
            proof = self._places.get(place)
            if place.number in self.means.numbers and self._is_judged(
                there, key.start_us, oldest[collection], proof
            ):
                yield Verdict(str(place), name, collection, document_id, there, None)

    async def _compared(
        self, verdicts: Iterator[Verdict]
    ) -> AsyncGenerator[tuple[Verdict, dict[str, bytes], dict[str, bytes]], None]:
        """Both sides of each, some hundreds at once: others have their turn between."""
        while chunk := list(islice(verdicts, COMPARED_AT_ONCE)):
            drafts = [one.told for one in chunk if one.told is not None]
            vectors = iter(self.means.vectors.of_drafts(drafts))
            for one in chunk:
                live, told = one.sides(() if one.told is None else next(vectors))
                yield one, live, told
            await asyncio.sleep(0)

    def _added(self, verdict: Verdict, live: dict[str, bytes], told: dict[str, bytes]) -> bool:
        """Count it if both sides are the same."""
        if live != told:
            return False
        self.found.comparison.add(verdict.place, live, told)
        return True

    def _is_judged(
        self, held: Stored | None, start_us: int, oldest_us: int, proof: PlaceProof | None
    ) -> bool:
        """Whether the log proves anything of a window that begins then."""
        if start_us < oldest_us:
            self.found.expired += held is not None
            return False
        if proof is not None and start_us < proof.whole_from_us:
            self.found.before_log += held is not None
            return False
        return True

    def _place_of(self, key: Key) -> Partition:
        """Where the events of a window lie."""
        name = (key.tenant or key.provider).encode()
        topic = next(topic for topic, aspect in ASPECT_OF_TOPIC.items() if aspect is key.aspect)
        return Partition(topic, partition_of(name, self.means.log.partitions))

    def _full_name(self, collection: str) -> str:
        return full_name(self.means.analytics, collection)


def _still_to_fold(proof: PlaceProof, now: Checkpoint | None, on_log: Range | None) -> Range:
    """OtherLogError, BegunAnewError."""
    if now is None or now.next_offset < proof.naive.checkpoint:
        raise BegunAnewError(
            f"{proof.place} went back from {proof.naive.checkpoint} while it was compared: the analytics are built anew; "
            "verify them when the sink has caught up"
        )
    there = on_log or Range(0, 0)
    if now.reach > there.end:
        raise OtherLogError(
            f"the analytics hold {proof.place} up to {now.reach}, and the log ends at {there.end}: it is another log "
            "(docs/runbooks.md, Broker lost)"
        )
    proof.begin(there.start)
    proof.reach, proof.tip = max(proof.reach, now.reach), now.tip
    return Range(proof.at, max(proof.at, proof.reach))
