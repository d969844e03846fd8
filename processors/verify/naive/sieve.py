"""Which records of a partition count: told one record at a time, from the log alone.

A record counts when it is a valid event in its own partition at a believable time, and its id was not met in the same or
the previous five minutes of the partition's record time. Outcomes are not told apart by ids: of what covers the same
source offsets the first counts, and of what covers more than it the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from aiokafka.partitioner import murmur2

from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError
from events.outcomes_observed import LATENCY_BOUNDS_MS, OutcomeRun, OutcomesObserved
from events.reader import LogRecord
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded

FIVE_MINUTES_MS = 300_000
DAY_MS = 24 * 3600 * 1000
WEEK_MS = 7 * DAY_MS


@dataclass(slots=True)
class Recent:
    """The ids of a partition's last five to ten minutes. `clock_ms` is the greatest timestamp so far."""

    clock_ms: int = 0
    _met: dict[str, int] = field(default_factory=dict)

    @property
    def slice_number(self) -> int:
        """Which five minutes it is."""
        return self.clock_ms // FIVE_MINUTES_MS

    def tick(self, record: LogRecord) -> bool:
        """Take the time of the next record; whether other five minutes have begun."""
        before, self.clock_ms = self.slice_number, max(self.clock_ms, record.timestamp)
        now = self.slice_number
        if now != before:
            self._met = {event_id: number for event_id, number in self._met.items() if now - number <= 1}
        return now != before

    def has_met(self, event_id: str) -> bool:
        """Whether the id is among them; from now on it is."""
        again = self.slice_number - self._met.get(event_id, -9) <= 1
        self._met[event_id] = self.slice_number
        return again

    def __len__(self) -> int:
        return len(self._met)


@dataclass(slots=True)
class Sieve:
    """One partition of a topic (short name), record by record."""

    topic: str
    codec: Codec
    settings: LogSettings
    records: int = 0
    _recent: Recent = field(default_factory=Recent)
    _began: dict[int, int] = field(default_factory=dict)
    _covered: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, record: LogRecord) -> Event | None:
        """The event of the next record, when it counts."""
        event = usable(self.topic, record, self.codec, self.settings)
        self.records += 1
        self._tick(record)
        if isinstance(event, OutcomesObserved):
            return self._outcomes(event)
        if event is None:
            return None
        return None if self._recent.has_met(event.event_id) else event

    @property
    def clock_ms(self) -> int:
        """The greatest timestamp so far."""
        return self._recent.clock_ms

    @property
    def remembered(self) -> int:
        """How many ids are kept to know a repeated one."""
        return len(self._recent)

    def horizon_document(self) -> dict[str, int] | None:
        """Where the ids that are remembered begin; None before the first record."""
        if self.records == 0:
            return None
        now = self._recent.slice_number
        current = self._began.get(now, 0)
        return {
            "previous_start": self._began.get(now - 1, current),
            "current_start": current,
            "slice_number": now,
            "clock_ms": self.clock_ms,
        }

    def _tick(self, record: LogRecord) -> None:
        if self._recent.tick(record):
            now = self._recent.slice_number
            self._began[now] = record.offset
            self._began = {number: offset for number, offset in self._began.items() if now - number <= 1}

    def _outcomes(self, event: OutcomesObserved) -> Event | None:
        place = (event.deployment, f"{event.source_topic}.{event.source_partition}")
        rest = rest_of(event, self._covered.get(place, 0))
        if rest is not None:
            self._covered[place] = rest.source_end
        return rest


def rest_of(event: OutcomesObserved, covered: int) -> OutcomesObserved | None:
    """What outcomes tell of source offsets that are not covered yet, a call at a time; None when nothing."""
    if event.source_start >= covered:
        return event
    if any(run.calls == b"" for run in event.runs):
        return None
    runs = []
    for run in event.runs:
        words = [int.from_bytes(run.calls[at : at + 4], "little") for at in range(0, len(run.calls), 4)]
        calls = list(zip(words[::2], words[1::2], strict=True))
        left = [
            (event.source_start + place, ms) for place, ms in calls if event.source_start + place >= covered
        ]
        if left:
            runs.append(_run_of(run, [ms for _, ms in left], [place - covered for place, _ in left]))
    return replace(event, source_start=covered, runs=tuple(runs)) if runs else None


def _run_of(run: OutcomeRun, latencies_ms: list[int], places: list[int]) -> OutcomeRun:
    tops = (*LATENCY_BOUNDS_MS, 2**63)
    fits = [next(index for index, top in enumerate(tops) if ms <= top) for ms in latencies_ms]
    words = [word for call in zip(places, latencies_ms, strict=True) for word in call]
    return replace(
        run,
        count=len(latencies_ms),
        latency_ms_sum=sum(latencies_ms),
        latency_buckets=tuple(fits.count(index) for index in range(len(tops))),
        calls=b"".join(word.to_bytes(4, "little") for word in words),
    )


def usable(topic: str, record: LogRecord, codec: Codec, settings: LogSettings) -> Event | None:
    """The event of a record, or None when it is to be dead-lettered."""
    if len(record.value or b"") > settings.max_event_bytes:
        return None
    if any("\udc80" <= letter <= "\udcff" for name, _ in record.headers for letter in name):
        return None
    try:
        event = codec.decode(TOPICS[topic], record.value)
    except InvalidEventError:
        return None
    key = str(getattr(event, TOPICS[topic].key_field)).encode()
    home = (murmur2(key) & 0x7FFFFFFF) % settings.partitions
    days = (event.occurred_at / 1000 - record.timestamp) / DAY_MS
    sound = (
        record.key == key
        and record.partition == home
        and -settings.max_event_age_days <= days <= settings.max_event_ahead_s / (24 * 3600)
        and not (isinstance(event, UsageRecorded) and event.latency_ms > WEEK_MS)
    )
    return event if sound else None
