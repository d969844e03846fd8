"""Where the records of the old log have come to lie in the new one: what has to be known of it to go on, and to translate."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from events.carried import Place, origin_of
from events.catalogue import TOPICS
from events.codec import Codec
from events.dead_lettered import DeadLettered
from events.errors import InvalidEventError
from events.reader import LogReader
from events.settings import LogSettings
from processors.repartition.errors import OtherRecordsError

OUTCOMES = "outcomes"
LETTERS = TOPICS["dead-letters"]


@dataclass(slots=True)
class Known:
    """Of the new log. `reached` is, by topic, new and old partition, the next old offset that is not carried there.

    Where a record lies is kept of outcomes, which transitions name by their offset, and of records that have a dead letter.
    """

    reached: defaultdict[str, dict[tuple[int, int], int]] = field(default_factory=lambda: defaultdict(dict))
    ends: defaultdict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    _lettered: dict[tuple[str, Place], Place | None] = field(default_factory=dict)
    _outcomes: dict[tuple[int, int], tuple[array[int], array[int]]] = field(default_factory=dict)

    def note(self, topic: str, origin: Place, place: Place) -> None:
        """A record of the old log lies there. Each partition is told in its order."""
        self.reached[topic][place.partition, origin.partition] = origin.offset + 1
        self.ends[topic][place.partition] = place.offset + 1
        if (topic, origin) in self._lettered:
            self._lettered[topic, origin] = place
        if topic == OUTCOMES:
            of_both = (place.partition, origin.partition)
            olds, news = self._outcomes.setdefault(of_both, (array("q"), array("q")))
            olds.append(origin.offset)
            news.append(place.offset)

    def is_carried(self, topic: str, origin: Place, partition: int) -> bool:
        """Whether a record that belongs in that new partition lies there already."""
        return origin.offset < self.reached[topic].get((partition, origin.partition), 0)

    def outcomes_offset(self, old: int, new: int, offset: int) -> int:
        """The first offset of a new outcomes partition at which all of an old one's below `offset` has gone before."""
        olds, news = self._outcomes.get((new, old), (array("q"), array("q")))
        index = bisect_left(olds, offset)
        return news[index] if index < len(news) else self.ends[OUTCOMES].get(new, 0)

    def lettered(self, topic: str, origin: Place) -> Place | None:
        """Where a record that has a dead letter lies; None when it is none of the old log."""
        return self._lettered.get((topic, origin))

    def letters_in(self, new: LogSettings) -> frozenset[tuple[str, int, int]]:
        """The records of the new log that the old workers have refused: full name, partition, offset."""
        placed = ((topic, place) for (topic, _), place in self._lettered.items() if place is not None)
        return frozenset((new.full_name(topic), *place) for topic, place in placed)

    def expect(self, letters: Iterable[tuple[str, Place]]) -> None:
        """These records have dead letters: keep where they lie, when they are carried."""
        for letter in letters:
            self._lettered.setdefault(letter, None)

    async def find_lettered(self, reader: LogReader, new: LogSettings) -> None:
        """Look through the new log for records whose letters came after they were carried."""
        missing = {letter for letter, place in self._lettered.items() if place is None}
        if missing:
            again = Known()
            again.expect(missing)
            await read_back(reader, new, sorted({topic for topic, _ in missing}), again)
            self._lettered |= again._lettered


async def letters_of_old(reader: LogReader, codec: Codec, old: LogSettings) -> frozenset[tuple[str, Place]]:
    """The records of the old log that have dead letters."""
    found = set()
    async with aclosing(reader.read(LETTERS.name, await reader.ranges(LETTERS.name))) as batches:
        async for _, records in batches:
            for record in records:
                try:
                    event = codec.decode(LETTERS, record.value)
                except InvalidEventError:
                    continue
                assert isinstance(event, DeadLettered)
                topic = old.short_name(event.topic)
                if topic in TOPICS:
                    found.add((topic, Place(event.partition, event.offset)))
    return frozenset(found)


async def read_back(reader: LogReader, new: LogSettings, topics: Iterable[str], known: Known) -> int:
    """Note where all that was carried before lies; how many records. OtherRecordsError when one was not carried."""
    count = 0
    for topic in topics:
        async with aclosing(reader.read(topic, await reader.ranges(topic))) as batches:
            async for number, records in batches:
                for record in records:
                    origin = origin_of(record.headers)
                    if origin is None:
                        raise OtherRecordsError(
                            f"{new.full_name(topic)}, partition {number}, has a record at {record.offset} that was not carried "
                            "from here. Either it is another deployment's: choose another name with --into. Or the new one is "
                            "at work already: what has come to the old log since has to be sent to the new one again"
                        )
                    known.note(topic, origin, Place(number, record.offset))
                count += len(records)
    return count
