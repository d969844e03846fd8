"""What a rebuild has in the place of the publisher: nothing is appended, and what would be is judged.

A record that the workers have dead-lettered is part of history: it is passed over, and named in the end. A bad record
without a letter is news (a schema is missing, bytes have changed, this release refuses more than that one did): the
rebuild stops there, unless it was told to skip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Never

from events.catalogue import TOPICS
from events.codec import Codec
from events.dead_lettered import DeadLettered, LetterStatus
from events.envelope import Event
from events.errors import InvalidEventError
from events.positions import Position
from events.publisher import Encoded
from events.reader import LogReader
from processors.poison import PoisonGuard
from processors.rebuild.errors import BadRecordError, DerivedAgainError

LETTERS = TOPICS["dead-letters"]
Place = tuple[str, int, int]
"""Full name of a topic, partition and offset of a record."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was passed over. `was_lettered`: the workers did the same."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    was_lettered: bool

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}:{self.offset} {self.reason}: {self.detail}"


@dataclass(slots=True)
class NothingAppended:
    """Takes what a fold would append. `skipped` are the bad records so far, each once."""

    letters: frozenset[Place]
    skips: bool
    skipped: dict[Place, BadRecord] = field(default_factory=dict)

    async def append(self, events: Sequence[Event]) -> list[Position]:
        """Dead letters; BadRecordError for one that the log does not have."""
        for event in events:
            if not isinstance(event, DeadLettered):
                self._derived(type(event).__name__)
            place = (event.topic, event.partition, event.offset)
            bad = BadRecord(*place, event.reason, event.detail, place in self.letters)
            if not bad.was_lettered and not self.skips:
                raise BadRecordError(
                    f"{bad}; the workers have made no dead letter of it, so the live state may hold it. Mend the cause, "
                    "or go on without such records with --skip-bad"
                )
            self.skipped[place] = bad
        return []

    async def append_encoded(self, records: Sequence[Encoded]) -> list[Position]:
        """Derived events: all of them have to be on the log already."""
        self._derived(", ".join(sorted({record.topic for record in records})))

    def _derived(self, what: str) -> Never:
        raise DerivedAgainError(
            f"folding the log derived {what} again, below the position where all that was derived has to be on the log: "
            "derived events are gone from the log, or this release decides where the one before did not"
        )


class Unguarded(PoisonGuard):
    """How many records are bad was a worker's business when they were new."""

    def note(self, records: int, bad: int, example: str) -> None:
        """Nothing."""


async def lettered(reader: LogReader, codec: Codec) -> frozenset[Place]:
    """The records that the log has dead letters of."""
    found: set[Place] = set()
    async for _, records in reader.read(LETTERS.name, await reader.ranges(LETTERS.name)):
        for record in records:
            try:
                event = codec.decode(LETTERS, record.value)
            except InvalidEventError:
                continue
            if isinstance(event, DeadLettered) and event.status is LetterStatus.LETTERED:
                found.add((event.topic, event.partition, event.offset))
    return frozenset(found)
