"""The breakers of one slot as their decider works on them: states, what is recorded and not yet applied, timers.

The states live in memory and are committed with the batch; what is returned is to be appended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from events.breaker_overridden import BreakerOverridden
from events.breaker_transitioned import BreakerState, BreakerTransitioned
from events.envelope import deployment_name
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import ProviderChanged
from processors.breaker.decide import Decided, Recorded, catch_up, decide, due, due_us, first_seen, override
from processors.states import Decoder, States
from projections.live import breaker as breaker_model
from projections.live import override as override_model
from projections.live import provider as provider_model
from projections.live.breaker import Breaker
from projections.live.override import StandingOverride
from projections.live.provider import ProviderSettings
from projections.live.window import Window, source_name

DECODERS: dict[str, Decoder] = {
    "breaker": Breaker.from_json,
    "window": Window.from_json,
    "provider": ProviderSettings.from_json,
    "override": StandingOverride.from_json,
}

Transitions = tuple[BreakerTransitioned, ...]


@dataclass(slots=True)
class BreakerDesk:
    """`outcomes_next` is the next offset of the outcomes partition; below `decided_to` (by topic) nothing is decided.

    `overruled` are deployments whose last transition is not the one of that version that came first on the log.
    """

    states: States
    decided_to: Mapping[str, int]
    outcomes_next: int
    overruled: list[str] = field(default_factory=list)
    _deployments: dict[str, set[str]] = field(default_factory=dict)
    _timed: set[str] = field(default_factory=set)
    _recorded: dict[str, Recorded] = field(default_factory=dict)
    _decided_causes: set[str] = field(default_factory=set)

    @property
    def is_replaying(self) -> bool:
        """Whether transitions that are on the log wait for the outcomes to reach their place."""
        return bool(self._recorded)

    async def open(self, deployments: Iterable[str], recorded: Iterable[BreakerTransitioned]) -> None:
        """Load the known breakers, and take over the transitions that are on the log and not yet applied to them."""
        for deployment in deployments:
            self._know(deployment)
            await self.load(deployment.partition("/")[0], deployment)
            breaker = self._breaker(deployment)
            if breaker is not None:
                self._note_timer(deployment, breaker)
        by_deployment: dict[str, list[BreakerTransitioned]] = {}
        for event in recorded:
            if event.causation_id is not None:
                self._decided_causes.add(event.causation_id)
            by_deployment.setdefault(event.deployment, []).append(event)
        for deployment, found in by_deployment.items():
            await self._take_recorded(deployment, sorted(found, key=lambda event: event.version))
        self._catch_up()

    async def _take_recorded(self, deployment: str, found: list[BreakerTransitioned]) -> None:
        first = found[0]
        await self.load(first.provider, deployment)
        breaker = self._breaker(deployment)
        if breaker is None:
            settings = self._settings_of(first.provider)
            breaker = breaker_model.initial(first.provider, first.model, first.region, settings=settings)
            self._keep(deployment, Decided(breaker, Window()))
        same = [event for event in found if event.version == breaker.version]
        if not all(breaker_model.stands_after(breaker, event) for event in same):
            self.overruled.append(deployment)
        ahead = tuple(event for event in found if event.version > breaker.version)
        if ahead:
            self._recorded[deployment] = ahead

    def unfolded(self, event: OutcomesObserved) -> OutcomesObserved | None:
        """What of the outcomes was not folded before; None when nothing. `load` comes first."""
        source = source_name(event.source_topic, event.source_partition)
        return event.after(self._window(event.deployment).sources.get(source, 0))

    def outcomes(self, event: OutcomesObserved, offset: int, clock_us: int) -> tuple[Breaker, Decided]:
        """Fold outcomes and decide; the breaker before, and what came of it. `load` comes first."""
        deployment = event.deployment
        settings = self._settings_of(event.provider)
        decided_to = self.decided_to.get("outcomes", 0)
        begun: Transitions = ()
        breaker, window = self._breaker(deployment), self._window(deployment)
        recorded = self._recorded.get(deployment, ())
        if breaker is None:
            first = first_seen(
                event,
                settings,
                self._standing(event.provider),
                offset=offset,
                clock_us=clock_us,
                recorded=recorded,
                decided_to=decided_to,
            )
            breaker, window, begun, recorded = first.breaker, first.window, first.events, first.recorded
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
        self._keep(deployment, decided)
        events = begun + decided.events
        return breaker, Decided(decided.breaker, decided.window, events, decided.recorded)

    async def advance(self, outcomes_next: int, clock_us: int) -> Transitions:
        """The outcomes partition has come to an offset: apply what is recorded up to it, and let time pass."""
        self.outcomes_next = outcomes_next
        self._catch_up()
        if outcomes_next <= self.decided_to.get("outcomes", 0):
            return ()
        appended: Transitions = ()
        for deployment in sorted(self._timed - self._recorded.keys()):
            await self.load(deployment.partition("/")[0], deployment)
            breaker = self._breaker(deployment)
            if breaker is None:
                continue
            policy = self._settings_of(breaker.provider).policy_for(deployment)
            at_us = due_us(breaker, policy)
            if at_us is not None and at_us <= clock_us:
                window = self._window(deployment)
                decided = due(breaker, window, policy, offset=outcomes_next, clock_us=clock_us)
                self._keep(deployment, decided)
                appended += decided.events
        return appended

    async def override(self, event: BreakerOverridden, offset: int, clock_us: int) -> Transitions:
        """Force or clear, unless that was decided before; nothing recorded may be pending when it was not."""
        if event.model is not None:
            deployments = {deployment_name(event.provider, event.model, event.region)}
        else:
            deployments = self._deployments.get(event.provider, set())
        await self.load(event.provider, *deployments)
        if event.model is None:
            standing = override_model.evolve(self._standing(event.provider), event)
            self.states.put(f"override:{event.provider}", standing)
        if offset < self.decided_to.get("overrides", 0) or event.event_id in self._decided_causes:
            return ()
        settings = self._settings_of(event.provider)
        appended: Transitions = ()
        for deployment in sorted(deployments):
            breaker = self._breaker(deployment)
            if breaker is None and event.model is not None:
                breaker = breaker_model.initial(event.provider, event.model, event.region, settings=settings)
            if breaker is None:
                continue
            decided = override(
                breaker,
                self._window(deployment),
                settings.policy_for(deployment),
                override_model.forced(event),
                offset=self.outcomes_next,
                clock_us=clock_us,
            )
            if decided.events:
                # A breaker that nothing has happened to is not begun: a replay would have no reason to.
                self._keep(deployment, decided)
            appended += decided.events
        return appended

    async def provider(self, event: ProviderChanged) -> None:
        """Take over a provider's settings, also into the breakers of its deployments."""
        deployments = self._deployments.get(event.provider, set())
        await self.load(event.provider, *deployments)
        settings = provider_model.evolve(self._settings_of(event.provider), event)
        self.states.put(f"provider:{event.provider}", settings)
        for deployment in deployments:
            breaker = self._breaker(deployment)
            if breaker is not None:
                self.states.put(f"breaker:{deployment}", breaker_model.adopt(breaker, settings))

    async def load(self, provider: str, *deployments: str) -> None:
        """Have the states of a provider and of deployments of it in memory."""
        keys = [f"provider:{provider}", f"override:{provider}"]
        keys += [f"{kind}:{name}" for name in deployments for kind in ("breaker", "window")]
        await self.states.load(keys)

    def _catch_up(self) -> None:
        """Apply recorded transitions whose place is reached, also of deployments that no outcomes come for."""
        for deployment, recorded in list(self._recorded.items()):
            breaker = self._breaker(deployment)
            if breaker is not None:
                self._keep(
                    deployment, catch_up(breaker, self._window(deployment), recorded, self.outcomes_next)
                )

    def _keep(self, deployment: str, decided: Decided) -> None:
        self._know(deployment)
        if decided.breaker != self._breaker(deployment):
            self.states.put(f"breaker:{deployment}", decided.breaker)
        self.states.put(f"window:{deployment}", decided.window)
        self._note_timer(deployment, decided.breaker)
        if decided.recorded:
            self._recorded[deployment] = decided.recorded
        else:
            self._recorded.pop(deployment, None)

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

    def _breaker(self, deployment: str) -> Breaker | None:
        return self.states.get(f"breaker:{deployment}", Breaker)

    def _window(self, deployment: str) -> Window:
        return self.states.get(f"window:{deployment}", Window) or Window()

    def _settings_of(self, provider: str) -> ProviderSettings:
        return self.states.get(f"provider:{provider}", ProviderSettings) or provider_model.initial(provider)

    def _standing(self, provider: str) -> StandingOverride:
        return self.states.get(f"override:{provider}", StandingOverride) or override_model.initial(provider)

    def _know(self, deployment: str) -> None:
        self._deployments.setdefault(deployment.partition("/")[0], set()).add(deployment)
