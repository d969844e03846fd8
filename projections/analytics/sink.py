"""The sink: records to windows, changed windows to documents, and the checkpoint after them.

Nothing is lost and nothing is counted twice, whatever the process is stopped between. A document that carries a window's
sums says up to which offset they go (`applied`), and is written whole. The checkpoint follows the documents; so after a
crash records come again, and each window takes those that it does not have.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from events.codec import Codec
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.analytics.admission import Admission
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoints
from projections.analytics.chroma import Stored
from projections.analytics.chunks import chunks
from projections.analytics.documents import CARRIER, COLLECTIONS, Draft, read_window
from projections.analytics.drafts import drafts
from projections.analytics.embedding import Vectors, vectors_of
from projections.analytics.gathering import Gathering
from projections.analytics.places import client, full_name, prepare
from projections.analytics.retention import cutoffs_us, delete_expired
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.windows import ASPECT_OF_TOPIC, Key, Lengths, Window
from projections.errors import FencedError, ProjectionError, SinkUnavailableError, StaleCheckpointError
from projections.tip import Tip, tip_of

FOLDED_AT_ONCE = 500
WINDOWS_AT_ONCE = 200
LOOK_EVERY_S = 2.0
"""A partition without new records would else not notice that another owner took it, or that the collections are gone."""


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class AnalyticsSink:
    """The log as documents in Chroma. It gathers: what it was given becomes durable some seconds later."""

    name = "analytics"
    topics = tuple(ASPECT_OF_TOPIC)

    def __init__(
        self,
        settings: AnalyticsSettings,
        codec: Codec,
        log: LogSettings,
        clock_us: Callable[[], int] = _wall_clock_us,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._log = log
        self._clock_us = clock_us
        self._lengths = Lengths(settings.window_s, settings.state_window_s)
        self._owner = f"{os.getpid()}-{uuid4().hex[:8]}"
        self._chroma = client(settings, settings.request_timeout_s)
        self._checkpoints = Checkpoints(self._chroma, full_name(settings, CHECKPOINTS))
        self._vectors: Vectors | None = None
        self._held: dict[Partition, Gathering] = {}
        self._retention_due_s = 0.0
        self._look_due_s = 0.0

    async def open(self, place: Partition) -> int:
        """Take the partition; reading begins where the ids begin that may be met again."""
        self._held.pop(place, None)
        await self._make_ready()
        taken = await self._checkpoints.take(place, self._owner)
        admission = Admission(place, self._codec, self._log, taken.since, dict(taken.covered))
        self._held[place] = Gathering(place, admission, taken, taken.since)
        return taken.since

    def tip(self, place: Partition) -> Tip | None:
        return self._held[place].checkpoint.tip

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        """Gather; durable is what was written before, unless much has changed."""
        held = self._held.get(place)
        if held is None or held.next_offset != start:
            expected = "not opened" if held is None else f"at {held.next_offset}"
            raise StaleCheckpointError(f"{place} is {expected}, and records came from {start}")
        for chunk in chunks(records, FOLDED_AT_ONCE):
            await self._fold(held, chunk)
            if len(held.changed) >= self._settings.flush_windows:
                await self._flush(held)
        return held.checkpoint.next_offset

    async def tick(self) -> dict[Partition, int]:
        """Write what changed a while ago, and delete what is past its retention.

        FencedError, StaleCheckpointError when a partition that is held is ours no more.
        """
        now_s = time.monotonic()
        if self._held and now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_EVERY_S
            await self._checkpoints.look({place: held.checkpoint for place, held in self._held.items()})
        due = [
            held
            for held in self._held.values()
            if held.changed_since_s is not None
            and now_s - held.changed_since_s >= self._settings.flush_after_s
        ]
        durable = await self._flush_all(due)
        if self._held and now_s >= self._retention_due_s:
            self._retention_due_s = now_s + self._settings.retention_interval_s
            if await delete_expired(self._chroma, self._settings, self._clock_us()):
                self._retention_due_s = now_s  # there may be more
        return durable

    async def drain(self) -> dict[Partition, int]:
        """Write all that was gathered."""
        return await self._flush_all(list(self._held.values()))

    async def release(self, place: Partition) -> None:
        """Forget what is not durable."""
        self._held.pop(place, None)

    async def positions(self) -> dict[Partition, int]:
        """From the checkpoints, also those of partitions that others own."""
        return {place: one.next_offset for place, one in (await self._checkpoints.all()).items()}

    async def close(self) -> None:
        self._held.clear()
        await self._chroma.close()

    async def _make_ready(self) -> None:
        """The collections, with vectors of the kind that the settings ask for."""
        if self._vectors is None:
            self._vectors = await asyncio.to_thread(vectors_of, self._settings.embedding_folder)
        for name in COLLECTIONS:
            await prepare(self._chroma, self._settings, name, self._vectors)

    async def _fold(self, held: Gathering, records: Sequence[LogRecord]) -> None:
        oldest = cutoffs_us(self._settings, self._clock_us())
        changes = [
            change
            for change in held.changes(records, self._lengths)
            if change[1][0].start_us >= oldest[CARRIER[change[1][0].aspect]]
        ]
        if unknown := held.unknown(changes):
            await self._look_up(held, unknown)
        held.apply(changes)
        held.advance(tip_of(records[-1]), time.monotonic())
        await asyncio.sleep(0)  # a batch is long: others have their turn

    async def _look_up(self, held: Gathering, keys: Sequence[Key]) -> None:
        collection = full_name(self._settings, CARRIER[ASPECT_OF_TOPIC[held.place.topic]])
        found = await self._chroma.by_id(collection, [key.id for key in keys])
        for key in keys:
            kept = found.get(key.id)
            held.windows[key] = Window(key, {}) if kept is None else read_window(kept.metadata)

    async def _flush_all(self, due: Sequence[Gathering]) -> dict[Partition, int]:
        """Each by itself: one that fails leaves the others alone, and is written again at the next tick."""
        durable: dict[Partition, int] = {}
        failed: ProjectionError | None = None
        for held in due:
            try:
                await self._flush(held)
                durable[held.place] = held.checkpoint.next_offset
            except SinkUnavailableError as error:
                failed = failed or error
            except (FencedError, StaleCheckpointError) as error:
                self._held.pop(held.place, None)
                failed = error
        if failed is not None:
            raise failed
        return durable

    async def _flush(self, held: Gathering) -> None:
        target = held.target()
        if not held.changed and target.next_offset == held.checkpoint.next_offset:
            held.changed_since_s = None
            return
        if held.changed:
            await self._check(held)
            await self._checkpoints.write(held.place, held.announced())
        for keys in chunks(sorted(held.changed), WINDOWS_AT_ONCE):
            await self._check(held)
            windows = [held.windows[key] for key in keys]
            for window in windows:
                window.applied = target.next_offset
            await self._write(windows)
        await self._check(held)
        held.attempted = target
        await self._checkpoints.write(held.place, target)
        held.written(target, self._settings.flush_windows)

    async def _check(self, held: Gathering) -> None:
        """That the partition is still ours, and where we left it: with the last checkpoint, or with one not answered."""
        held.checkpoint = await self._checkpoints.check(held.place, held.checkpoint, held.attempted)
        held.attempted = None

    async def _write(self, windows: Sequence[Window]) -> None:
        """Of each window the documents that follow from it first, then the one that carries its sums."""
        assert self._vectors is not None
        made = [draft for window in windows for draft in drafts(window)]
        vectors = await asyncio.to_thread(self._vectors.of_drafts, made)
        by_collection: dict[str, list[Stored]] = {}
        for draft, vector in zip(made, vectors, strict=True):
            by_collection.setdefault(draft.collection, []).append(_stored(draft, vector))
        for name, documents in by_collection.items():
            await self._chroma.upsert(full_name(self._settings, name), documents)


def _stored(draft: Draft, vector: Sequence[float]) -> Stored:
    return Stored(draft.id, draft.text, draft.metadata, vector)
