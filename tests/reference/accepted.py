"""Which records of a partition count: told one record at a time, from the log alone.

A record counts when it is a valid event in its own partition at a believable time, and its id was not met in the same or
the previous five minutes of the partition's record time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.codec import Codec
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.reader import LogRecord
from events.settings import LogSettings
from processors.verify.naive.sieve import FIVE_MINUTES_MS, rest_of, usable


@dataclass
class Told:
    """A partition sorted out: events that count with their offsets, repeated ones, and records that are no events.

    `clocks_ms` is the greatest timestamp up to each offset.
    """

    events: list[tuple[int, Event]] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    refused: list[LogRecord] = field(default_factory=list)
    clocks_ms: list[int] = field(default_factory=list)


def tell(topic: str, records: Iterable[LogRecord], codec: Codec, settings: LogSettings) -> Told:
    """Sort out one partition. Outcomes are never told apart by their ids, but by what they cover: see `outcomes`."""
    told = Told()
    met: dict[str, int] = {}
    clock_ms = 0
    for record in records:
        event = usable(topic, record, codec, settings)
        clock_ms = max(clock_ms, record.timestamp)
        told.clocks_ms.append(clock_ms)
        if event is None:
            told.refused.append(record)
            continue
        slice_now = clock_ms // FIVE_MINUTES_MS
        again = slice_now - met.get(event.event_id, -9) <= 1
        met[event.event_id] = slice_now
        if again and topic != "outcomes":
            told.repeated.append(record.offset)
        else:
            told.events.append((record.offset, event))
    return told


def outcomes(told: Told) -> list[tuple[int, OutcomesObserved]]:
    """The outcomes of a partition that count: of what covers the same source offsets the first, and else the rest."""
    covered: dict[tuple[str, str, int], int] = {}
    kept = []
    for offset, event in told.events:
        assert isinstance(event, OutcomesObserved)
        place = (event.deployment, event.source_topic, event.source_partition)
        rest = rest_of(event, covered.get(place, 0))
        if rest is not None:
            covered[place] = rest.source_end
            kept.append((offset, rest))
    return kept
