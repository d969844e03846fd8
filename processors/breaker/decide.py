"""The breaker decider: pure; what it decides is appended, and a replay applies what was appended instead.

Each transition adds one to version and epoch (they are equal) and starts a fresh window. Where a transition belongs is a
point (outcomes offset, run, calls of that run that were applied before it); `due` and `override` decide at the beginning
of the next outcomes record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import FAILURES, OutcomeKind
from events.outcomes_observed import OutcomeRun, OutcomesObserved
from processors.breaker.machine import MODE_STATES, OVERRIDDEN
from processors.breaker.rules import admits, verdict
from processors.breaker.transition import point_of, transition
from projections.live.breaker import Breaker, evolve, initial
from projections.live.counting import Counting, figures
from projections.live.gates import fold_gates
from projections.live.override import StandingOverride
from projections.live.provider import PolicyInForce, ProviderSettings
from projections.live.window import Window, fresh, segments, source_name

Recorded = tuple[BreakerTransitioned, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """The states afterwards, what is to be appended, and the recorded transitions that are still to be applied."""

    breaker: Breaker
    window: Window
    events: tuple[BreakerTransitioned, ...] = ()
    recorded: Recorded = ()


def decide(
    breaker: Breaker,
    window: Window,
    policy: PolicyInForce,
    observed: OutcomesObserved,
    *,
    offset: int,
    clock_us: int,
    recorded: Sequence[BreakerTransitioned] = (),
    decided_to: int = 0,
) -> Decided:
    """Fold the outcomes record at `offset`; see docs/breakers.md for the rules.

    `clock_us` is the fold's clock at this record. `recorded` are this deployment's transitions from the log that are not
    applied yet, by version: each is applied at its point, and nothing is decided before the last of them, nor below
    outcomes offset `decided_to` (there the log's silence is a decision too). A range of a source that was folded before
    changes nothing.
    """
    caught_up = catch_up(breaker, window, tuple(recorded), offset)
    breaker, window, pending = caught_up.breaker, caught_up.window, caught_up.recorded
    source = source_name(observed.source_topic, observed.source_partition)
    if observed.source_start < window.sources.get(source, 0):
        return caught_up
    window = replace(window, sources={**window.sources, source: observed.source_end})
    decides = offset >= decided_to
    appended: list[BreakerTransitioned] = []
    if decides and not pending:
        timed = due(breaker, window, policy, offset=offset, clock_us=clock_us, causation_id=observed.event_id)
        breaker, window = timed.breaker, timed.window
        appended.extend(timed.events)
    step = _Step(
        breaker, Counting(window, policy.policy), policy, offset, clock_us, observed.event_id, pending
    )
    for index, run in enumerate(observed.runs):
        step.fold(index, run, decides)
    appended.extend(step.appended)
    return Decided(step.breaker, step.counting.window(), tuple(appended), step.pending)


@dataclass(slots=True)
class _Step:
    """One record on its way through the fold. Mutable, lives within one call of `decide`."""

    breaker: Breaker
    counting: Counting
    policy: PolicyInForce
    offset: int
    clock_us: int
    causation_id: str
    pending: Recorded
    appended: list[BreakerTransitioned] = field(default_factory=list)

    def fold(self, index: int, run: OutcomeRun, decides: bool) -> None:
        """Apply a run, in parts where a transition falls inside it."""
        self.breaker = fold_gates(self.breaker, run, self.clock_us)
        done = 0
        while done < run.count:
            if self.pending:
                done = self._replay(index, run, done)
            else:
                done = self._count(index, run, done, run.count, decides=decides)

    def _replay(self, index: int, run: OutcomeRun, done: int) -> int:
        """Apply calls up to the next recorded transition, and it if it falls inside this run."""
        at = point_of(self.pending[0])
        stop = run.count if at > (self.offset, index, run.count) else max(done, at[2])
        self._count(index, run, done, stop, decides=False)
        while self.pending and point_of(self.pending[0]) <= (self.offset, index, stop):
            self._apply(self.pending[0])
            self.pending = self.pending[1:]
        return stop

    def _count(self, index: int, run: OutcomeRun, start: int, stop: int, *, decides: bool) -> int:
        """Apply calls [start, stop) of a run, or fewer when one of them moves the breaker; how far it came."""
        counting, state = self.counting, self.breaker.state
        if stop <= start or state is BreakerState.DISABLED:
            return stop
        failed = run.kind in FAILURES
        if not failed and run.kind is not OutcomeKind.SUCCESS:
            counting.count_ignored(stop - start)
            return stop
        second = min(run.second, self.clock_us // 1_000_000)
        if not admits(state, self.breaker.epoch, run.breaker_epoch) or not counting.advance(second):
            counting.count_stale(failed, stop - start)
            return stop
        parts = segments(run, start, stop)
        moved = verdict(state, counting, second, failed, parts) if decides else None
        if moved is None:
            counting.count(second, failed, parts)
            return stop
        calls, cause = moved
        counting.count(second, failed, segments(run, start, start + calls))
        event = transition(
            self.breaker,
            counting.figures(),
            self.policy,
            cause,
            point=(self.offset, index, start + calls),
            clock_us=self.clock_us,
            causation_id=self.causation_id,
        )
        self.appended.append(event)
        self._apply(event)
        return start + calls

    def _apply(self, event: BreakerTransitioned) -> None:
        moved = evolve(self.breaker, event)
        if moved is not self.breaker:
            self.breaker = moved
            self.counting = Counting(fresh(self.counting.window()), self.policy.policy)


def catch_up(
    breaker: Breaker, window: Window, recorded: Sequence[BreakerTransitioned], offset: int
) -> Decided:
    """Apply the recorded transitions that come before the outcomes record at `offset` is applied.

    A deployment without outcomes needs it too, when its partition's checkpoint reaches `offset`.
    """
    applied = 0
    for event in recorded:
        if point_of(event) > (offset, 0, 0):
            break
        moved = evolve(breaker, event)
        window = window if moved is breaker else fresh(window)
        breaker = moved
        applied += 1
    return Decided(breaker, window, (), tuple(recorded[applied:]))


def due_us(breaker: Breaker, policy: PolicyInForce) -> int | None:
    """The instant from which on `due` appends something; None: time alone moves nothing."""
    if breaker.state is BreakerState.OPEN:
        return breaker.open_until_us
    if breaker.state is BreakerState.HALF_OPEN:
        return breaker.since_us + policy.policy.half_open_max_wait_s * 1_000_000
    return breaker.override_until_us


def due(
    breaker: Breaker,
    window: Window,
    policy: PolicyInForce,
    *,
    offset: int,
    clock_us: int,
    causation_id: str | None = None,
) -> Decided:
    """What passing time alone moves. `offset` is the next of the outcomes partition; nothing recorded is pending."""
    at_us = due_us(breaker, policy)
    if at_us is None or clock_us < at_us:
        return Decided(breaker, window)
    causes = {
        BreakerState.OPEN: TransitionCause.OPEN_ELAPSED,
        BreakerState.HALF_OPEN: TransitionCause.HALF_OPEN_TIMEOUT,
    }
    event = transition(
        breaker,
        figures(window, policy.policy),
        policy,
        causes.get(breaker.state, TransitionCause.OVERRIDE_EXPIRED),
        point=(offset, 0, 0),
        clock_us=clock_us,
        causation_id=causation_id,
    )
    return Decided(evolve(breaker, event), fresh(window), (event,))


def override(
    breaker: Breaker,
    window: Window,
    policy: PolicyInForce,
    wanted: StandingOverride,
    *,
    offset: int,
    clock_us: int,
) -> Decided:
    """Force a state, or clear what is forced; nothing when it is so already.

    `offset` is the next of the outcomes partition; nothing recorded is pending. An override whose `event_id` is the
    `causation_id` of a transition of this deployment on the log was decided before: do not ask again.
    """
    forced = MODE_STATES.get(wanted.mode)
    now = (breaker.state, breaker.override_actor, breaker.override_reason, breaker.override_until_us)
    if forced is None and breaker.state not in OVERRIDDEN:
        return Decided(breaker, window)
    if now == (forced, wanted.actor, wanted.reason, wanted.until_us):
        return Decided(breaker, window)
    event = transition(
        breaker,
        figures(window, policy.policy),
        policy,
        TransitionCause.OVERRIDE_SET if forced else TransitionCause.OVERRIDE_CLEARED,
        point=(offset, 0, 0),
        clock_us=clock_us,
        causation_id=wanted.event_id,
        wanted=wanted,
    )
    return Decided(evolve(breaker, event), fresh(window), (event,))


def first_seen(
    observed: OutcomesObserved,
    settings: ProviderSettings,
    standing: StandingOverride,
    *,
    offset: int,
    clock_us: int,
    recorded: Sequence[BreakerTransitioned] = (),
    decided_to: int = 0,
) -> Decided:
    """A deployment whose first outcomes are at `offset`, before they are folded: under the provider's override, if any."""
    breaker, window = (
        initial(observed.provider, observed.model, observed.region, settings=settings),
        Window(),
    )
    if recorded or offset < decided_to or not standing.in_force(clock_us):
        return Decided(breaker, window, (), tuple(recorded))
    policy = settings.policy_for(breaker.deployment)
    return override(breaker, window, policy, standing, offset=offset, clock_us=clock_us)
