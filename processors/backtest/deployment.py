"""One deployment in a backtest: its breaker as recorded, the same decided again, and as the tried policy decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.carried import without_log
from events.envelope import FAILURES
from events.outcomes_observed import OutcomesObserved
from processors.backtest.epochs import Epochs, admitted_us
from processors.backtest.failing import Failing
from processors.backtest.timeline import Admission, Timeline
from processors.breaker.decide import Decided, decide, due, due_us, override
from processors.breaker.machine import MODE_STATES
from processors.breaker.transition import point_of
from projections.live.breaker import Breaker, evolve
from projections.live.override import StandingOverride
from projections.live.provider import PolicyInForce
from projections.live.window import Window, fresh

MOST_LISTED = 1_000
"""Of one deployment so many transitions are listed in each list; all are counted."""

OVERRIDES = frozenset({TransitionCause.OVERRIDE_SET, TransitionCause.OVERRIDE_CLEARED})
_MODE_OF_STATE = {state: mode for mode, state in MODE_STATES.items()}
Transitions = Sequence[BreakerTransitioned]


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy that was in force, and the one that is tried."""

    recorded: PolicyInForce
    tried: PolicyInForce

    @property
    def are_equal(self) -> bool:
        """Whether the tried one says the same."""
        return self.recorded.policy == self.tried.policy


@dataclass(slots=True)
class Listed:
    """Transitions, counted and the first of them kept."""

    count: int = 0
    kept: list[BreakerTransitioned] = field(default_factory=list)

    def add(self, event: BreakerTransitioned) -> None:
        """One more."""
        self.count += 1
        if len(self.kept) < MOST_LISTED:
            self.kept.append(event)


@dataclass(slots=True)
class Side:
    """A breaker as one side of the comparison has it."""

    breaker: Breaker
    window: Window = field(default_factory=Window)
    timeline: Timeline = field(default_factory=Timeline)
    epochs: Epochs = field(default_factory=Epochs)

    def take(self, decided: Decided, events: Transitions) -> None:
        """What a step has come to."""
        self.breaker, self.window = decided.breaker, decided.window
        for event in events:
            self.timeline.add(event)
            self.epochs.add(event)


@dataclass(slots=True)
class CallCounts:
    """Calls, and those among them that failed by the provider's fault."""

    calls: int = 0
    failed: int = 0


class DeploymentRun:
    """Mutable. Steps come in the order of the outcomes partition; `counts` is false before the time that is asked about:
    there both sides are as recorded.

    As long as the tried side stands where the record does, and the policies say the same, it follows the record: so what
    differs follows from the policy and from nothing else.
    """

    def __init__(self, breaker: Breaker) -> None:
        self.recorded, self.decided = Side(breaker), Side(breaker)
        self.same = 0
        self.added, self.removed = Listed(), Listed()
        self.not_reproduced = Listed()
        """Recorded transitions that the recorded settings do not lead to again, and the other way round."""
        self.gaps = 0
        self.calls: dict[tuple[Admission, Admission], CallCounts] = {}
        self.failing = Failing()
        self.first_us: int | None = None

    @property
    def in_step(self) -> bool:
        """Whether both sides stand at the same transition."""
        one, other = self.recorded.breaker, self.decided.breaker
        return one is other or _standing(one) == _standing(other)

    def outcomes(
        self,
        observed: OutcomesObserved,
        here: Transitions,
        may_hold: Iterable[Policies],
        *,
        offset: int,
        clock_us: int,
        counts: bool,
    ) -> None:
        """An outcomes record, the recorded transitions that were decided while it was folded, and the policies that may
        have been in force, the likeliest first.
        """
        here = self._new(here)
        was_in_step = self.in_step
        again, policies = self._again(
            observed, here, may_hold, offset=offset, clock_us=clock_us, counts=counts
        )
        tried, events = again, here
        if counts and not (was_in_step and policies.are_equal):
            side = self.decided
            given = observed if was_in_step else side.epochs.translated(observed, clock_us)
            tried = decide(side.breaker, side.window, policies.tried, given, offset=offset, clock_us=clock_us)
            events = list(tried.events)
        self._take(again, here, tried, events, counts)
        if counts and without_log(observed.source_topic) == "usage":
            self._count_calls(observed, clock_us)

    def _again(
        self,
        observed: OutcomesObserved,
        here: Transitions,
        may_hold: Iterable[Policies],
        *,
        offset: int,
        clock_us: int,
        counts: bool,
    ) -> tuple[Decided, Policies]:
        """The record decided again, by the first policies that lead to what is recorded; else what is recorded, applied."""
        breaker, window = self.recorded.breaker, self.recorded.window
        first: tuple[Decided, Policies] | None = None
        for policies in may_hold:
            again = decide(breaker, window, policies.recorded, observed, offset=offset, clock_us=clock_us)
            if list(again.events) == here:
                return again, policies
            first = first or (again, policies)
        assert first is not None
        again, policies = first
        self._note_difference(here, again.events, counts)
        again = decide(
            breaker,
            window,
            policies.recorded,
            observed,
            offset=offset,
            clock_us=clock_us,
            recorded=here,
            decided_to=offset + 1,
        )
        return _applied(again), policies

    def happened(self, event: BreakerTransitioned, policies: Policies, *, counts: bool) -> None:
        """A recorded transition that was decided between two records: an operator's, or by passing time."""
        here = self._new([event])
        if not here:
            return
        was_in_step = self.in_step
        again = _decided_between(self.recorded, event, policies.recorded)
        if list(again.events) != here:
            self._note_difference(here, again.events, counts)
            again = Decided(evolve(self.recorded.breaker, event), fresh(self.recorded.window))
        if not counts or (was_in_step and policies.are_equal):
            tried, events = again, here
        elif event.cause in OVERRIDES or self._waits_as_recorded(policies):
            tried = _decided_between(self.decided, event, policies.tried)
            events = list(tried.events)
        else:
            tried, events = Decided(self.decided.breaker, self.decided.window), []
        self._take(again, here, tried, events, counts)

    def look(self, policies: Policies, *, next_offset: int, clock_us: int) -> None:
        """Let time pass on the tried side, unless it waits for what the record waits for: then it moves when that did."""
        if self._waits_as_recorded(policies):
            return
        held = self.decided
        tried = due(held.breaker, held.window, policies.tried, offset=next_offset, clock_us=clock_us)
        held.take(tried, tried.events)
        self._compare((), tried.events)

    def _waits_as_recorded(self, policies: Policies) -> bool:
        one, other = self.recorded.breaker, self.decided.breaker
        return one.state is other.state and due_us(one, policies.recorded) == due_us(other, policies.tried)

    def _take(
        self, again: Decided, here: Transitions, tried: Decided, events: Transitions, counts: bool
    ) -> None:
        self.recorded.take(again, here)
        self.decided.take(tried, events)
        if counts:
            self._compare(here, events)

    def _compare(self, recorded: Transitions, decided: Transitions) -> None:
        """Two transitions are the same when they lead to the same state by the same rule after the same call."""
        if not recorded and not decided:
            return
        common = Counter(map(_what, recorded)) & Counter(map(_what, decided))
        self.same += common.total()
        for events, listed in ((recorded, self.removed), (decided, self.added)):
            left = common.copy()
            for event in events:
                if left[_what(event)]:
                    left[_what(event)] -= 1
                else:
                    listed.add(event)

    def _note_difference(self, here: Transitions, again: Transitions, counts: bool) -> None:
        if counts:
            for event in [
                *(one for one in here if one not in again),
                *(one for one in again if one not in here),
            ]:
                self.not_reproduced.add(event)

    def _new(self, events: Transitions) -> list[BreakerTransitioned]:
        """Those that were not applied, without gaps. A log that begins later makes one: both sides begin there then."""
        found: list[BreakerTransitioned] = []
        version = self.recorded.breaker.version
        for event in sorted(events, key=lambda event: event.version):
            if event.version > version + 1 and not found:
                self._begin_at(event)
                version = event.version - 1
            if event.version == version + 1:
                found.append(event)
                version += 1
        return found

    def _begin_at(self, event: BreakerTransitioned) -> None:
        before = event.version - 1
        breaker = replace(
            self.recorded.breaker, version=before, epoch=before, state=event.from_state, open_until_us=None
        )
        self.gaps += 1
        self.recorded.breaker = self.decided.breaker = breaker

    def _count_calls(self, observed: OutcomesObserved, clock_us: int) -> None:
        for run in observed.runs:
            at_us = admitted_us(run, clock_us)
            cell = self.recorded.timeline.at(at_us), self.decided.timeline.at(at_us)
            counts = self.calls.get(cell)
            if counts is None:
                counts = self.calls[cell] = CallCounts()
            counts.calls += run.count
            if run.kind in FAILURES:
                counts.failed += run.count
            second_us = min(run.second * 1_000_000, clock_us)
            self.failing.add(run.kind, second_us)
            if self.first_us is None or second_us < self.first_us:
                self.first_us = second_us


def _standing(breaker: Breaker) -> tuple[object, ...]:
    return (
        breaker.version,
        breaker.state,
        breaker.trips,
        breaker.since_us,
        breaker.open_until_us,
        breaker.override_until_us,
    )


def _what(event: BreakerTransitioned) -> tuple[BreakerState, TransitionCause, tuple[int, int, int]]:
    return event.to_state, event.cause, point_of(event)


def _applied(decided: Decided) -> Decided:
    """With recorded transitions that found no place of theirs."""
    breaker, window = decided.breaker, decided.window
    for event in decided.recorded:
        breaker, window = evolve(breaker, event), fresh(window)
    return Decided(breaker, window, decided.events)


def _decided_between(side: Side, event: BreakerTransitioned, policy: PolicyInForce) -> Decided:
    """What the same occasion leads to on a side: the operator's wish, or a look at the clock."""
    offset, clock_us = event.outcomes_offset, event.occurred_at
    if event.cause in OVERRIDES:
        return override(side.breaker, side.window, policy, _wanted(event), offset=offset, clock_us=clock_us)
    return due(
        side.breaker, side.window, policy, offset=offset, clock_us=clock_us, causation_id=event.causation_id
    )


def _wanted(event: BreakerTransitioned) -> StandingOverride:
    """What the operator asked for, as his transition tells it."""
    if event.cause is TransitionCause.OVERRIDE_SET:
        mode, actor, reason = (
            _MODE_OF_STATE[event.to_state],
            event.override_actor or "",
            event.override_reason or "",
        )
    else:
        mode = OverrideMode.NONE
        actor, _, reason = event.reason.partition(": ")
    return StandingOverride(
        provider=event.provider,
        event_id=event.causation_id or "",
        mode=mode,
        actor=actor,
        reason=reason,
        until_us=event.override_until,
    )
