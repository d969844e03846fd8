"""What was decided before and is on the log: a slot that lost its state folds it instead of deciding again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

from events.alert_raised import AlertKind, AlertRaised
from events.bounds import Bounds
from events.breaker_transitioned import BreakerTransitioned
from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import Event
from events.errors import InvalidEventError
from events.outcomes_observed import OutcomesObserved
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.dedupe import Horizon, Seen
from processors.usage.soundness import USAGE, Deployment, Soundness

Hints = Mapping[str, int]
"""By `topic.partition`, where to begin to look for derived events that are on the log already."""


@dataclass(frozen=True, slots=True)
class Past:
    """The log as one slot reads it back when it opens."""

    settings: LogSettings
    codec: Codec
    reader: LogReader
    partition: int

    async def outcomes_below(self, source_topic: str, hints: Hints) -> dict[Deployment, int]:
        """Up to which offset of this slot's source partition the outcomes of each deployment are on the log."""
        below: dict[Deployment, int] = {}
        async for event in self._derived("outcomes", hints):
            assert isinstance(event, OutcomesObserved)
            if (event.source_topic, event.source_partition) == (source_topic, self.partition):
                deployment = (event.provider, event.model, event.region)
                below[deployment] = max(event.source_end, below.get(deployment, 0))
        return below

    async def transitions(self, hints: Hints) -> list[BreakerTransitioned]:
        """Breaker transitions after the hint, the first of each version."""
        found: dict[tuple[str, int], BreakerTransitioned] = {}
        async for event in self._derived("breakers", hints, [self.partition]):
            assert isinstance(event, BreakerTransitioned)
            found.setdefault((event.deployment, event.version), event)
        return list(found.values())

    async def alerts(self, hints: Hints) -> list[AlertRaised]:
        """Budget alerts after the hint; those about providers lie between them, and are another slot's."""
        found = []
        async for event in self._derived("alerts", hints, [self.partition]):
            assert isinstance(event, AlertRaised)
            if event.kind is AlertKind.BUDGET_THRESHOLD:
                found.append(event)
        return found

    async def seen(self, topic_name: str, horizon: Horizon, end: int) -> Seen:
        """The ids that the duplicate horizon of a topic's partition holds at offset `end`."""
        seen = Seen()
        usable_id = self._usable_id(topic_name)
        ids: list[tuple[int, str]] = []
        wanted = {self.partition: Range(horizon.previous_start, end)}
        async for _, records in self.reader.read(topic_name, wanted):
            for record in records:
                event_id = usable_id(record)
                if event_id is not None:
                    ids.append((record.offset, event_id))
        seen.warm(horizon, ids)
        return seen

    def _usable_id(self, topic_name: str) -> Callable[[LogRecord], str | None]:
        """Gives the event_id of a record that was not refused when it was folded; refused ones are not remembered."""
        bounds = Bounds(self.settings, self.partition)
        soundness = Soundness(bounds)

        def usable_id(record: LogRecord) -> str | None:
            try:
                if topic_name == USAGE.name:
                    usage = self.codec.decode_record(USAGE, record.value)
                    soundness.check(usage, record)
                    return str(usage["event_id"])
                return bounds.event(TOPICS[topic_name], record, self.codec).event_id
            except InvalidEventError:
                return None

        return usable_id

    async def _derived(
        self, topic_name: str, hints: Hints, partitions: Iterable[int] | None = None
    ) -> AsyncIterator[Event]:
        """Events of a derived topic from the hints to its end, in the order of each partition.

        A record that is no event was not derived by us and is passed over.
        """
        topic = TOPICS[topic_name]
        held = await self.reader.ranges(topic_name)
        wanted = {
            number: Range(max(found.start, hints.get(f"{topic_name}.{number}", 0)), found.end)
            for number, found in held.items()
            if partitions is None or number in partitions
        }
        async for _, records in self.reader.read(topic_name, wanted):
            for record in records:
                try:
                    yield self.codec.decode(topic, record.value)
                except InvalidEventError:
                    continue
