"""What a backfill of the history has to read and to sum up, and why it cannot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from events.catalogue import FOREVER_MS, TOPICS
from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from processors.backfill.target import Target
from processors.rebuild.errors import LogStartGoneError, RebuildError
from processors.rebuild.store_plan import ReadingPlan, StorePart
from projections.history.beside import Beside
from projections.history.excerpt import Excerpt

NOMINAL_RECORDS_PER_S = 8_000
"""Read, compared and proved, on one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlan(ReadingPlan):
    """What is read is read again for the proof. `excerpt` is what is filled: of whole days when something of it is rolled up."""

    target: Target
    excerpt: Excerpt

    @property
    def starts(self) -> dict[Partition, int]:
        """From where each partition is read."""
        return {part.place: part.start for part in self.parts}


@dataclass(slots=True)
class PartsOfTime:
    """Finds the records whose events may belong to an excerpt.

    An event happens at most `max_event_ahead_s` after its record's time, and any time before it: all from there on up to what the
    history holds has to be read. (What is further ahead is refused by the workers.)
    """

    log: LogSettings
    straight: LogReader
    archived: LogReader
    schemas: Beside
    refusals: list[RebuildError] = field(default_factory=list)

    async def of(
        self, topics: tuple[str, ...], excerpt: Excerpt, held: Mapping[Partition, int]
    ) -> list[StorePart]:
        """Up to what the history holds; `refusals` has what can no longer be read, and may belong to it."""
        first_ms = excerpt.from_us // 1000 - self.log.max_event_ahead_s * 1000
        parts = []
        for topic in topics:
            on_log = await self.straight.ranges(topic)
            readable = on_log if self.archived is self.straight else await self.archived.ranges(topic)
            starts = await self.archived.offsets_at(topic, first_ms)
            for number, there in sorted(on_log.items()):
                place, first = Partition(topic, number), readable[number].start
                end = held.get(place, 0)
                if starts[number] == first > 0 and end and not await self._is_older(place, first, first_ms):
                    self.refusals.append(_gone(place, first))
                parts.append(StorePart(place, min(starts[number], end), end, there, first))
        return parts

    async def _is_older(self, place: Partition, first: int, first_ms: int) -> bool:
        """Whether the last record that can no longer be read is older than what is asked for.

        The history knows, unless the asked time is beyond what the log keeps anyway.
        """
        keeps_ms = TOPICS[place.topic].retention_ms
        if keeps_ms != FOREVER_MS and first_ms < time.time_ns() // 1_000_000 - keeps_ms:
            return False
        appended_us = await self.schemas.appended_us(place, first - 1)
        return appended_us is not None and appended_us < first_ms * 1000


def _gone(place: Partition, first: int) -> LogStartGoneError:
    return LogStartGoneError(
        f"what can be read of {place} begins at {first}, within the time that is asked for, and events of it may lie before: "
        "name an archive that reaches back so far and up to where the log begins with --archive DIR, or a later --from"
    )
