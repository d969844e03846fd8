"""The fold of a provider slot: outcomes, health checks, overrides and provider settings of one partition."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.bounds import Bounds
from events.breaker_overridden import BreakerOverridden
from events.carried import is_carried
from events.catalogue import TOPIC_OF_EVENT, TOPICS
from events.dead_letters import Refused
from events.envelope import Event, deployment_name
from events.errors import InvalidEventError
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import ProviderChanged
from events.provider_health_checked import ProviderHealthChecked
from events.publisher import Encoded
from events.reader import LogRecord
from processors.batching import RecordBatch
from processors.breaker import desk
from processors.breaker.desk import BreakerDesk
from processors.dedupe import Horizon, Seen
from processors.fold import NotYetError, Opening, Step
from processors.health.decide import credential_alert, outcomes_of_check
from processors.recorded import Past
from processors.states import Decoder, States
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth
from projections.live.slots import PROVIDER_LEAD, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore

DECODERS: dict[str, Decoder] = desk.DECODERS | {
    "health": DeploymentHealth.from_json,
    "check": CheckHealth.from_json,
    "horizon": Horizon.from_json,
}


@dataclass(slots=True)
class _Result:
    """What a batch has come to so far."""

    derived: list[Event] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0


class ProviderFold:
    """Folds what happened to the providers of a partition and lets their breakers decide."""

    topics: tuple[str, ...] = TOPICS_OF_LEAD[PROVIDER_LEAD]
    _states: States
    _desk: BreakerDesk

    def __init__(self, slot: Slot, past: Past, store: LiveStore) -> None:
        self._slot = slot
        self._codec = past.codec
        self._past = past
        self._store = store
        self._bounds = Bounds(past.settings, slot.partition)
        self._seen: dict[str, Seen] = {}
        self._checks_below: dict[tuple[str, str, str | None], int] = {}

    async def open(self, opening: Opening) -> None:
        """Load the known breakers, the transitions that are on the log already, and the duplicate horizons."""
        self._states = States(opening.lease, self._store, DECODERS)
        await self._states.load(f"horizon:{topic}" for topic in self.topics)
        for topic in self.topics:
            horizon = self._states.get(f"horizon:{topic}", Horizon) or Horizon()
            if topic == "outcomes":
                self._seen[topic] = Seen(horizon=horizon)
            else:
                self._seen[topic] = await self._past.seen(topic, horizon, opening.next_offsets[topic])
        hints = opening.lease.derived
        self._checks_below = await self._past.outcomes_below("health", hints)
        known = await self._store.ids_owned(opening.lease, "breaker")
        for begin in (hints, {}):
            self._desk = BreakerDesk(self._states, opening.decided_to, opening.next_offsets["outcomes"])
            await self._desk.open(known, await self._past.transitions(begin))
            if not self._desk.overruled:
                break  # else what came first may lie before the hints

    def take_writes(self) -> dict[str, bytes | None]:
        """See Fold."""
        return self._states.take_writes()

    @property
    def overruled(self) -> list[str]:
        """Deployments."""
        return self._desk.overruled

    async def apply(self, topic: str, batch: RecordBatch) -> Step:
        """Fold a batch of one topic."""
        decides = batch.start >= self._desk.decided_to.get(topic, 0)
        if topic == "overrides" and decides and self._desk.is_replaying:
            raise NotYetError(topic)
        result = _Result()
        seen = self._seen[topic]
        for record in batch.records:
            seen.tick(record.timestamp, record.offset)
            try:
                event = self._bounds.event(TOPICS[topic], record, self._codec)
            except InvalidEventError as error:
                result.refused.append(Refused(record, error))
                continue
            if topic != "outcomes" and not seen.add(event.event_id):
                result.duplicates += 1
                continue
            await self._fold(event, record, result)
        if topic == "outcomes":
            result.derived += await self._desk.advance(batch.end, self._clock_us("outcomes"))
        self._states.put(f"horizon:{topic}", seen.horizon)
        derived = [self._encoded(event) for event in result.derived]
        clock_us = self._clock_us(*self.topics)
        return Step(clock_us, self._states.take_writes(), derived, result.refused, result.duplicates)

    async def _fold(self, event: Event, record: LogRecord, result: _Result) -> None:
        match event:
            case OutcomesObserved():
                await self._outcomes(event, record, result)
            case ProviderHealthChecked():
                await self._check(event, record, result)
            case BreakerOverridden():
                clock_us = self._clock_us("outcomes", "overrides")
                result.derived += await self._desk.override(event, record.offset, clock_us)
            case ProviderChanged():
                await self._desk.provider(event)
            case _:
                raise AssertionError(f"no provider slot folds {type(event).__name__}")

    async def _outcomes(self, event: OutcomesObserved, record: LogRecord, result: _Result) -> None:
        key = f"health:{event.deployment}"
        await self._desk.load(event.provider, event.deployment)
        await self._states.load([key])
        unfolded = self._desk.unfolded(event)
        if unfolded is None:
            result.duplicates += 1
            return
        clock_us, offset = self._clock_us("outcomes"), record.offset
        before, decided = self._desk.outcomes(unfolded, offset, clock_us)
        result.derived += decided.events
        alert = credential_alert(before, decided.breaker, offset, clock_us)
        is_told = offset < self._desk.decided_to.get("outcomes", 0) or is_carried(record.headers)
        if alert is not None and not is_told:
            result.derived.append(alert)
        health = self._states.get(key, DeploymentHealth) or DeploymentHealth.initial(event)
        self._states.put(key, health.plus(unfolded))

    async def _check(self, event: ProviderHealthChecked, record: LogRecord, result: _Result) -> None:
        subject = event.provider
        if event.model is not None:
            subject = deployment_name(event.provider, event.model, event.region)
        key = f"check:{subject}"
        await self._states.load([key])
        check = self._states.get(key, CheckHealth) or CheckHealth.initial(subject)
        self._states.put(key, check.plus(event))
        if event.model is None or is_carried(record.headers):
            return
        offset = record.offset
        below = self._checks_below.get((event.provider, event.model, event.region), 0)
        observed = outcomes_of_check(event, self._slot.partition, offset, self._clock_us("health"))
        if observed is not None and offset >= below:
            result.derived.append(observed)

    def _clock_us(self, *topics: str) -> int:
        """The greatest record timestamp of these topics so far: what only one topic decides takes only its time."""
        return max(self._seen[topic].horizon.clock_ms for topic in topics) * 1000

    def _encoded(self, event: Event) -> Encoded:
        topic = TOPIC_OF_EVENT[type(event)]
        key = topic.key_of(event).encode()
        return Encoded(topic.name, key, self._codec.encode(event), event.occurred_at // 1000)
