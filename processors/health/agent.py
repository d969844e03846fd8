"""The fold of a provider slot: outcomes, health checks, overrides and provider settings of one partition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.breaker_overridden import BreakerOverridden
from events.breaker_transitioned import BreakerState, BreakerTransitioned
from events.catalogue import TOPIC_OF_EVENT
from events.dead_letters import Refused
from events.envelope import Event, deployment_name
from events.errors import InvalidEventError
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import ProviderChanged
from events.provider_health_checked import ProviderHealthChecked
from events.publisher import Encoded
from processors.batching import RecordBatch
from processors.bounds import Bounds
from processors.breaker.decide import Decided, Recorded, catch_up, decide, due, due_us, first_seen, override
from processors.dedupe import Horizon, Seen
from processors.fold import NotYetError, Opening, Step
from processors.health.decide import credential_alert, outcomes_of_check
from processors.recorded import Past, checked_event
from processors.states import Decoder, States
from projections.live import breaker as breaker_model
from projections.live import override as override_model
from projections.live import provider as provider_model
from projections.live.breaker import Breaker
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth
from projections.live.override import StandingOverride
from projections.live.provider import ProviderSettings
from projections.live.slots import PROVIDER_LEAD, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.live.window import Window, source_name

DECODERS: dict[str, Decoder] = {
    "breaker": Breaker.from_json,
    "window": Window.from_json,
    "health": DeploymentHealth.from_json,
    "check": CheckHealth.from_json,
    "provider": ProviderSettings.from_json,
    "override": StandingOverride.from_json,
    "horizon": Horizon.from_json,
}


@dataclass(slots=True)
class _Batch:
    """What a batch has come to so far."""

    derived: list[Encoded] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0


class ProviderFold:
    """Folds what happened to the providers of a partition and lets their breakers decide."""

    topics: tuple[str, ...] = TOPICS_OF_LEAD[PROVIDER_LEAD]

    def __init__(self, slot: Slot, past: Past, store: LiveStore) -> None:
        self._slot = slot
        self._codec = past.codec
        self._past = past
        self._store = store
        self._bounds = Bounds(past.settings, slot.partition)
        self._states = States(slot, store, DECODERS)
        self._seen: dict[str, Seen] = {}
        self._opening: Opening
        self._outcomes_next = 0
        self._deployments: dict[str, set[str]] = {}
        self._timed: set[str] = set()
        self._recorded: dict[str, Recorded] = {}
        self._decided_causes: set[str] = set()
        self._checks_below: dict[tuple[str, str, str | None], int] = {}

    async def open(self, opening: Opening) -> None:
        """Load the known breakers, the transitions that are on the log already, and the duplicate horizons."""
        self._opening = opening
        self._outcomes_next = opening.next_offsets["outcomes"]
        await self._states.load(f"horizon:{topic}" for topic in self.topics)
        for topic in self.topics:
            horizon = self._states.get(f"horizon:{topic}", Horizon) or Horizon()
            if topic == "outcomes":
                self._seen[topic] = Seen(horizon=horizon)
                continue
            self._seen[topic] = await self._past.seen(topic, horizon, opening.next_offsets[topic])
        hints = opening.lease.derived
        self._checks_below = await self._past.outcomes_below("health", hints)
        known = await self._store.ids([self._slot], "breaker")
        for deployment in known[self._slot]:
            self._know(deployment)
            await self._load(deployment.partition("/")[0], deployment)
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            if breaker is not None:
                self._note_timer(deployment, breaker)
        await self._take_recorded(await self._past.transitions(hints))

    async def apply(self, topic: str, batch: RecordBatch) -> Step:
        """Fold a batch of one topic."""
        if topic == "overrides" and self._recorded and batch.start >= self._opening.decided_to.get(topic, 0):
            raise NotYetError(topic)
        result = _Batch()
        seen = self._seen[topic]
        for record in batch.records:
            seen.tick(record.timestamp, record.offset)
            try:
                event = checked_event(topic, record, self._codec, self._bounds)
            except InvalidEventError as error:
                result.refused.append(Refused(record, error))
                continue
            if topic != "outcomes" and not seen.add(event.event_id):
                result.duplicates += 1
                continue
            match event:
                case OutcomesObserved():
                    await self._outcomes(event, record.offset, result)
                case ProviderHealthChecked():
                    await self._check(event, record.offset, result)
                case BreakerOverridden():
                    await self._override(event, record.offset, result)
                case ProviderChanged():
                    await self._provider(event)
                case _:
                    raise AssertionError(f"{topic} holds {type(event).__name__}")
        if topic == "outcomes":
            self._outcomes_next = batch.end
            self._catch_up()
            await self._let_time_pass(result)
        self._states.put(f"horizon:{topic}", seen.horizon)
        clock_us = max(seen.horizon.clock_ms for seen in self._seen.values()) * 1000
        return Step(clock_us, self._states.take_writes(), result.derived, result.refused, result.duplicates)

    async def _outcomes(self, event: OutcomesObserved, offset: int, result: _Batch) -> None:
        deployment = event.deployment
        await self._load(event.provider, deployment)
        window = self._states.get(f"window:{deployment}", Window) or Window()
        source = source_name(event.source_topic, event.source_partition)
        if event.source_start < window.sources.get(source, 0):
            result.duplicates += 1
            return
        clock_us = self._seen["outcomes"].horizon.clock_ms * 1000
        settings = self._settings_of(event.provider)
        decided_to = self._opening.decided_to.get("outcomes", 0)
        recorded = self._recorded.get(deployment, ())
        breaker = self._states.get(f"breaker:{deployment}", Breaker)
        if breaker is None:
            standing = self._states.get(f"override:{event.provider}", StandingOverride)
            first = first_seen(
                event,
                settings,
                standing or override_model.initial(event.provider),
                offset=offset,
                clock_us=clock_us,
                recorded=recorded,
                decided_to=decided_to,
            )
            self._keep(deployment, first, result)
            breaker, window, recorded = first.breaker, first.window, first.recorded
        decided = decide(
            breaker,
            window,
            settings.policy_for(deployment),
            event,
            offset=offset,
            clock_us=clock_us,
            recorded=recorded,
            decided_to=decided_to,
        )
        self._keep(deployment, decided, result)
        if offset >= decided_to:
            alert = credential_alert(breaker, decided.breaker, clock_us)
            result.derived += [self._encoded(alert, clock_us)] if alert else []
        health = self._states.get(f"health:{deployment}", DeploymentHealth) or DeploymentHealth.initial(event)
        self._states.put(f"health:{deployment}", health.plus(event))

    async def _check(self, event: ProviderHealthChecked, offset: int, result: _Batch) -> None:
        subject = (
            deployment_name(event.provider, event.model, event.region) if event.model else event.provider
        )
        key = f"check:{subject}"
        await self._states.load([key])
        check = self._states.get(key, CheckHealth) or CheckHealth.initial(subject)
        self._states.put(key, check.plus(event))
        if event.model is None or offset < self._checks_below.get(
            (event.provider, event.model, event.region), 0
        ):
            return
        clock_us = self._seen["health"].horizon.clock_ms * 1000
        observed = outcomes_of_check(event, self._slot.partition, offset, clock_us)
        if observed is not None:
            result.derived.append(self._encoded(observed, clock_us))

    async def _override(self, event: BreakerOverridden, offset: int, result: _Batch) -> None:
        if event.model is not None:
            deployments = {deployment_name(event.provider, event.model, event.region)}
        else:
            deployments = self._deployments.get(event.provider, set())
        decides = offset >= self._opening.decided_to.get("overrides", 0)
        undecided = decides and event.event_id not in self._decided_causes
        await self._load(event.provider, *deployments)
        key = f"override:{event.provider}"
        standing = self._states.get(key, StandingOverride) or override_model.initial(event.provider)
        self._states.put(key, override_model.evolve(standing, event))
        if not undecided:
            return
        clock_us = max(self._seen[topic].horizon.clock_ms for topic in ("outcomes", "overrides")) * 1000
        settings = self._settings_of(event.provider)
        for deployment in sorted(deployments):
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            if breaker is None and event.model is not None:
                breaker = breaker_model.initial(event.provider, event.model, event.region, settings=settings)
            if breaker is None:
                continue
            window = self._states.get(f"window:{deployment}", Window) or Window()
            decided = override(
                breaker,
                window,
                settings.policy_for(deployment),
                override_model.forced(event),
                offset=self._outcomes_next,
                clock_us=clock_us,
            )
            self._keep(deployment, decided, result)

    async def _provider(self, event: ProviderChanged) -> None:
        deployments = self._deployments.get(event.provider, set())
        await self._load(event.provider, *deployments)
        after = provider_model.evolve(self._settings_of(event.provider), event)
        self._states.put(f"provider:{event.provider}", after)
        for deployment in deployments:
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            if breaker is not None:
                self._states.put(f"breaker:{deployment}", breaker_model.adopt(breaker, after))

    async def _take_recorded(self, events: Iterable[BreakerTransitioned]) -> None:
        by_deployment: dict[str, list[BreakerTransitioned]] = {}
        for event in events:
            if event.causation_id is not None:
                self._decided_causes.add(event.causation_id)
            by_deployment.setdefault(event.deployment, []).append(event)
        for deployment, found in by_deployment.items():
            await self._load(found[0].provider, deployment)
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            version = breaker.version if breaker is not None else 0
            ahead = sorted(
                (event for event in found if event.version > version), key=lambda event: event.version
            )
            if not ahead:
                continue
            if breaker is None:
                first = ahead[0]
                settings = self._settings_of(first.provider)
                breaker = breaker_model.initial(first.provider, first.model, first.region, settings=settings)
                self._states.put(f"breaker:{deployment}", breaker)
                self._states.put(f"window:{deployment}", Window())
                self._know(deployment)
            self._recorded[deployment] = tuple(ahead)
        self._catch_up()

    def _catch_up(self) -> None:
        """Apply recorded transitions whose place the outcomes have reached, also of deployments without outcomes."""
        for deployment, recorded in list(self._recorded.items()):
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            window = self._states.get(f"window:{deployment}", Window)
            if breaker is not None and window is not None:
                self._keep(deployment, catch_up(breaker, window, recorded, self._outcomes_next), _Batch())

    async def _let_time_pass(self, result: _Batch) -> None:
        """Append what time alone has moved, for deployments that no outcome came for."""
        if self._outcomes_next <= self._opening.decided_to.get("outcomes", 0):
            return
        clock_us = self._seen["outcomes"].horizon.clock_ms * 1000
        for deployment in sorted(self._timed - self._recorded.keys()):
            await self._load(deployment.partition("/")[0], deployment)
            breaker = self._states.get(f"breaker:{deployment}", Breaker)
            if breaker is None:
                continue
            policy = self._settings_of(breaker.provider).policy_for(deployment)
            at_us = due_us(breaker, policy)
            if at_us is None or at_us > clock_us:
                continue
            window = self._states.get(f"window:{deployment}", Window) or Window()
            decided = due(breaker, window, policy, offset=self._outcomes_next, clock_us=clock_us)
            self._keep(deployment, decided, result)

    def _keep(self, deployment: str, decided: Decided, result: _Batch) -> None:
        """Put what a decider returned into the states and the outbox."""
        self._know(deployment)
        key = f"breaker:{deployment}"
        if decided.breaker != self._states.get(key, Breaker):
            self._states.put(key, decided.breaker)
        self._states.put(f"window:{deployment}", decided.window)
        self._note_timer(deployment, decided.breaker)
        if decided.recorded:
            self._recorded[deployment] = decided.recorded
        else:
            self._recorded.pop(deployment, None)
        result.derived += [self._encoded(event, event.occurred_at) for event in decided.events]

    def _note_timer(self, deployment: str, breaker: Breaker) -> None:
        """Keep in mind which breakers time alone may move.

        Not the open ones: they are half-open for a router when their time is over, and nobody is helped by a transition
        before a call comes.
        """
        policy = self._settings_of(breaker.provider).policy_for(deployment)
        if breaker.state is BreakerState.OPEN or due_us(breaker, policy) is None:
            self._timed.discard(deployment)
        else:
            self._timed.add(deployment)

    async def _load(self, provider: str, *deployments: str) -> None:
        keys = [f"provider:{provider}", f"override:{provider}"]
        keys += [f"{kind}:{name}" for name in deployments for kind in ("breaker", "window", "health")]
        await self._states.load(keys)

    def _settings_of(self, provider: str) -> ProviderSettings:
        return self._states.get(f"provider:{provider}", ProviderSettings) or provider_model.initial(provider)

    def _know(self, deployment: str) -> None:
        self._deployments.setdefault(deployment.partition("/")[0], set()).add(deployment)

    def _encoded(self, event: Event, clock_us: int) -> Encoded:
        topic = TOPIC_OF_EVENT[type(event)]
        return Encoded(topic.name, topic.key_of(event).encode(), self._codec.encode(event), clock_us // 1000)
