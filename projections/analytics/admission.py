"""Which records of a partition count: the same ones as in the live state.

A record counts when the judge of all (`events/bounds.py`) says so, and its id was not met in this or the previous slice of
record time. Outcomes are told apart by what they cover.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from events.bounds import Bounds
from events.catalogue import Topic, topic_named
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError
from events.outcomes_observed import OutcomesObserved
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings

SLICE_MS = 300_000

Covered = dict[str, int]
"""By deployment and source partition, up to where its outcomes were counted."""


@dataclass(slots=True)
class Admission:
    """The doorkeeper of one partition; records are shown to it in their order, each once.

    `since` is the offset from which on ids are remembered: reading again from there, it knows the same ids.
    """

    place: Partition
    codec: Codec
    log: LogSettings
    since: int = 0
    covered: Covered = field(default_factory=dict)
    _slice: int = -1
    _clock_ms: int = 0
    _slice_since: int = 0
    _current: set[str] = field(default_factory=set)
    _previous: set[str] = field(default_factory=set)
    _topic: Topic = field(init=False)
    _bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        self._topic = topic_named(self.place.topic)
        self._bounds = Bounds(self.log, self.place.number)

    def admit(self, record: LogRecord) -> Event | None:
        """The event, when it counts."""
        self._turn(record)
        event = self._valid(record)
        if event is None:
            return None
        if isinstance(event, OutcomesObserved):
            return self._uncovered(event)
        again = event.event_id in self._current or event.event_id in self._previous
        self._current.add(event.event_id)
        return None if again else event

    def remember(self, record: LogRecord) -> None:
        """Show it a record that was counted before."""
        self._turn(record)
        event = self._valid(record)
        if event is not None and not isinstance(event, OutcomesObserved):
            self._current.add(event.event_id)

    def _turn(self, record: LogRecord) -> None:
        self._clock_ms = max(self._clock_ms, record.timestamp)
        now = self._clock_ms // SLICE_MS
        if now == self._slice:
            return
        follows = now == self._slice + 1
        self._previous = self._current if follows else set()
        self._current = set()
        self.since = self._slice_since if follows else record.offset
        self._slice, self._slice_since = now, record.offset

    def _valid(self, record: LogRecord) -> Event | None:
        try:
            return self._bounds.event(self._topic, record, self.codec)
        except InvalidEventError:
            return None

    def _uncovered(self, event: OutcomesObserved) -> OutcomesObserved | None:
        name = f"{event.deployment}|{event.source_topic}-{event.source_partition}"
        uncovered = event.after(self.covered.get(name, 0))
        if uncovered is not None:
            self.covered[name] = uncovered.source_end
        return uncovered
