"""The archive as a sink: records gather in memory until a segment is full, old enough, or its day is over."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from events.catalogue import TOPICS, topic_named
from events.errors import LogUnavailableError
from events.positions import Partition
from events.reader import LogRecord
from events.registry import open_registry
from events.settings import LogSettings
from projections.archive.encoding import Forms
from projections.archive.layout import day_of, places_in
from projections.archive.manifest import DamagedManifestError
from projections.archive.segment import Segment, same_day
from projections.archive.settings import ArchiveSettings, Layout
from projections.archive.shelf import Claim, Head, Shelf
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from projections.tip import Tip

CLOSED_AT_ONCE = 4
COMPRESSED_AT_ONCE = 2
T = TypeVar("T")


@dataclass(slots=True)
class _Place:
    """A partition that was taken over. `next_offset` is the next to gather; the head is what is on the disk."""

    shelf: Shelf
    claim: Claim
    head: Head
    next_offset: int
    segment: Segment | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class ArchiveSink:
    """Writes closed segments into a folder. The durable position of a partition is where its last manifest ends."""

    def __init__(
        self,
        settings: ArchiveSettings,
        log_settings: LogSettings,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if settings.folder is None:
            raise SinkUnavailableError("no folder for the archive: set INTERLOCK_ARCHIVE__FOLDER")
        self._settings = settings
        self._folder = settings.folder
        self._clock_s = clock_s
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._forms = forms_of(settings, log_settings)
        self._compressor = ThreadPoolExecutor(COMPRESSED_AT_ONCE, "archive-compressor")
        self._places: dict[Partition, _Place] = {}

    @property
    def name(self) -> str:
        """Names the consumer group, the metrics and the lines of the status."""
        return "archive"

    @property
    def topics(self) -> tuple[str, ...]:
        """All of them: a log is restored from nothing else."""
        return tuple(TOPICS)

    async def open(self, place: Partition) -> int:
        """Take a partition over; where its last manifest ends."""
        await self.release(place)
        shelf = Shelf(self._folder, place)
        claim, head = await self._on_disk(f"open {place}", lambda: shelf.claim(self._owner))
        self._places[place] = _Place(shelf, claim, head, head.next_offset)
        return head.next_offset

    def tip(self, place: Partition) -> Tip | None:
        """Of the last manifest."""
        head = self._places[place].head
        return None if head.digest is None else Tip(head.next_offset - 1, head.digest)

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        """Gather the records, and close the segments that they fill; where the last manifest ends."""
        held = self._places.get(place)
        if held is None:
            raise StaleCheckpointError(f"{place} was let go: it has to be opened")
        async with held.busy:
            if start != held.next_offset:
                raise StaleCheckpointError(f"{place} is gathered up to {held.next_offset}, not {start}")
            try:
                await self._on_disk(f"write {place}", lambda: self._take(held, records))
            except BaseException:
                self._forget(held)
                raise
            return held.head.next_offset

    async def tick(self) -> dict[Partition, int]:
        """Close what is due by age. What cannot be closed is kept, and tried again the next time."""
        due_s = self._clock_s() - self._settings.segment_age_s
        return await self._close_those(lambda segment: segment.opened_s <= due_s)

    async def release(self, place: Partition) -> None:
        """Forget what was gathered."""
        self._places.pop(place, None)

    async def drain(self) -> dict[Partition, int]:
        """Close all open segments."""
        return await self._close_those(lambda _: True)

    async def positions(self) -> dict[Partition, int]:
        """Where the last manifest of each partition ends."""

        def ends() -> dict[Partition, int]:
            return {place: Shelf(self._folder, place).head().next_offset for place in places_in(self._folder)}

        return await self._on_disk("read the positions", ends)

    async def close(self) -> None:
        """Forget all that was gathered."""
        self._places.clear()
        self._compressor.shutdown(wait=False, cancel_futures=True)

    def _take(self, held: _Place, records: Sequence[LogRecord]) -> None:
        while records:
            segment = held.segment or self._begun(held, records[0])
            count = same_day(records, segment.day)
            if count:
                segment.add(records[:count])
                held.next_offset = segment.next_offset
            if count < len(records) or segment.size >= self._settings.segment_bytes:
                _close(held)
            records = records[count:]

    def _begun(self, held: _Place, record: LogRecord) -> Segment:
        place = held.shelf.place
        held.segment = Segment(
            place,
            held.head.next_offset,
            day_of(record.timestamp),
            held.head.tail,
            self._clock_s(),
            self._settings,
            self._forms[place.topic],
            self._compressor,
        )
        return held.segment

    async def _close_those(self, chosen: Callable[[Segment], bool]) -> dict[Partition, int]:
        turns = asyncio.Semaphore(CLOSED_AT_ONCE)
        due = [held for held in self._places.values() if held.segment is not None and chosen(held.segment)]
        outcomes = await asyncio.gather(
            *(self._close_in_turn(held, turns) for held in due), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, (SinkUnavailableError, FencedError, StaleCheckpointError)):
                raise failure
        unavailable = [failure for failure in failures if isinstance(failure, SinkUnavailableError)]
        if unavailable:
            raise unavailable[0]
        return {
            held.shelf.place: held.head.next_offset
            for held, outcome in zip(due, outcomes, strict=True)
            if outcome is None
        }

    async def _close_in_turn(self, held: _Place, turns: asyncio.Semaphore) -> None:
        async with turns, held.busy:
            try:
                await self._on_disk(f"close {held.shelf.place}", lambda: _close(held))
            except (FencedError, StaleCheckpointError):
                self._forget(held)
                raise

    def _forget(self, held: _Place) -> None:
        """Whoever writes to it next is told to open it."""
        place = held.shelf.place
        if self._places.get(place) is held:
            del self._places[place]

    async def _on_disk(self, what: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (OSError, LogUnavailableError, DamagedManifestError) as error:
            raise SinkUnavailableError(f"the archive in {self._folder} could not {what}: {error}") from error


def _close(held: _Place) -> None:
    """Files first, then the manifest: before it, they are no part of the archive."""
    segment = held.segment
    if segment is None or not segment.records:
        return
    closed = segment.closed(held.claim.epoch)
    closed.put(held.shelf.folder)
    held.head = held.shelf.add(held.claim, held.head, closed.manifest)
    held.segment = None


def forms_of(settings: ArchiveSettings, log_settings: LogSettings) -> dict[str, Forms]:
    """How the events of each topic are archived."""
    registry = open_registry(
        log_settings.registry_url, log_settings.topic_prefix, log_settings.schemas_folder
    )
    texts: Iterable[str] = () if settings.layout is Layout.PLAIN else (settings.layout.value,)
    return {name: Forms(topic_named(name), registry, tuple(texts)) for name in TOPICS}
