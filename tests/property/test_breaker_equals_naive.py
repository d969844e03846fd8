"""The decider beside a naive one, and its replays: whatever happens, both tell the same story."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerTransitioned
from events.envelope import OutcomeKind
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, OutcomesObserved
from events.provider_changed import BreakerPolicy, WindowKind
from processors.breaker.decide import catch_up, decide, due, override
from projections.live.breaker import Breaker, evolve, initial
from projections.live.counting import figures
from projections.live.override import forced
from projections.live.provider import PolicyInForce
from projections.live.window import Window
from tests.breaker_story import DEPLOYMENT, MODEL, PROVIDER, SECOND_US, START_S, observed, overridden
from tests.reference.breaker import NaiveBreaker

KINDS = [OutcomeKind.SUCCESS] * 4 + [OutcomeKind.SERVER_ERROR] * 3 + [OutcomeKind.TIMEOUT]
OTHER_KINDS = [OutcomeKind.BAD_REQUEST, OutcomeKind.RATE_LIMITED, OutcomeKind.UNAUTHORIZED, OutcomeKind.OTHER]


@st.composite
def policies(draw: st.DrawFn) -> BreakerPolicy:
    """Policies with limits near to each other, so that rules compete."""
    shares = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    return BreakerPolicy(
        window=draw(st.sampled_from(WindowKind)),
        window_s=draw(st.sampled_from([1, 3, 10, 60, 300])),
        window_calls=draw(st.sampled_from([1, 2, 5, 20, 1000])),
        minimum_calls=draw(st.integers(1, 12)),
        failure_rate=draw(shares),
        consecutive_failures=draw(st.integers(1, 20)),
        slow_call_s=draw(st.sampled_from([1, 5, 60])),
        slow_rate=draw(shares),
        open_for_s=draw(st.sampled_from([1, 30, 400])),
        open_for_cap_s=draw(st.sampled_from([30, 300])),
        half_open_permits=draw(st.integers(1, 5)),
        half_open_max_wait_s=draw(st.sampled_from([5, 60])),
    )


@dataclass(frozen=True)
class Record:
    """An outcomes record: runs as (kind, latency buckets, calls without latency, seconds ago, epoch steps or None)."""

    after_s: int
    runs: tuple[tuple[OutcomeKind, tuple[int, ...], int, int, int | None], ...]


@dataclass(frozen=True)
class Tick:
    """The decider looks at the clock."""

    after_s: int


@dataclass(frozen=True)
class Force:
    """An operator overrides."""

    after_s: int
    mode: OverrideMode
    actor: str
    for_s: int | None


WAITS = st.sampled_from([0, 0, 1, 1, 2, 7, 31, 65, 400])
COUNTS = st.lists(
    st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=LATENCY_BUCKETS, max_size=LATENCY_BUCKETS
).map(tuple)
RUNS = st.tuples(
    st.sampled_from(KINDS * 3 + OTHER_KINDS),
    st.one_of(st.just(()), COUNTS),
    st.integers(1, 8),
    st.sampled_from([0, 0, 0, 1, 2, 5, 30, 299, 300, 400, -3]),
    st.sampled_from([0, 0, 0, 0, None, None, 1, -1]),
)
STEPS = st.one_of(
    st.builds(Record, WAITS, st.lists(RUNS, max_size=5).map(tuple)),
    st.builds(Record, WAITS, st.lists(RUNS, max_size=5).map(tuple)),
    st.builds(Record, WAITS, st.lists(RUNS, max_size=5).map(tuple)),
    st.builds(Tick, WAITS),
    st.builds(
        Force,
        WAITS,
        st.sampled_from(OverrideMode),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from([None, 1, 40]),
    ),
)
STORIES = st.lists(STEPS, max_size=14)


@dataclass
class Told:
    """How a story went: the records with their clocks, what was decided, the states at the end."""

    records: list[tuple[OutcomesObserved, int]]
    events: list[BreakerTransitioned]
    breaker: Breaker
    window: Window
    naive: NaiveBreaker


def tell(steps: list[Any], policy: BreakerPolicy) -> Told:
    """Let the decider and the naive one live through the steps side by side."""
    in_force = PolicyInForce(policy, 7)
    told = Told([], [], initial(PROVIDER, MODEL), Window(), NaiveBreaker(DEPLOYMENT, policy))
    clock_us = START_S * SECOND_US
    for step in steps:
        clock_us += step.after_s * SECOND_US
        offset = len(told.records)
        match step:
            case Record():
                record = _record(step, offset, clock_us, told.breaker.epoch)
                decided = decide(
                    told.breaker, told.window, in_force, record, offset=offset, clock_us=clock_us
                )
                told.naive.observe(record, offset, clock_us)
                told.records.append((record, clock_us))
            case Tick():
                decided = due(told.breaker, told.window, in_force, offset=offset, clock_us=clock_us)
                told.naive.tick(offset, clock_us)
            case _:
                until_us = None if step.for_s is None else clock_us + step.for_s * SECOND_US
                wanted = forced(overridden(step.mode, actor=step.actor, until_us=until_us))
                decided = override(
                    told.breaker, told.window, in_force, wanted, offset=offset, clock_us=clock_us
                )
                told.naive.force(step.mode, (step.actor, "test", until_us), offset=offset, clock_us=clock_us)
        told.breaker, told.window = decided.breaker, decided.window
        told.events.extend(decided.events)
    return told


def _record(step: Record, offset: int, clock_us: int, epoch: int) -> OutcomesObserved:
    runs = [
        OutcomeRun(
            kind=kind,
            count=sum(buckets) + unknown,
            second=clock_us // SECOND_US - ago_s,
            breaker_epoch=None if steps is None else max(0, epoch + steps),
            latency_buckets=buckets,
            gate_until=clock_us + 5_000_000 if kind is OutcomeKind.RATE_LIMITED else None,
        )
        for kind, buckets, unknown, ago_s, steps in step.runs
    ]
    return observed(offset, *runs)


def plain(event: BreakerTransitioned) -> dict[str, Any]:
    """A transition in the words of the naive one."""
    override_told = (event.override_actor, event.override_reason, event.override_until)
    return {
        "version": event.version,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "cause": event.cause,
        "epoch": event.epoch,
        "trips": event.trips,
        "occurred_at": event.occurred_at,
        "open_until": event.open_until,
        "figures": (event.calls, event.failures, event.slow_calls, event.consecutive_failures),
        "where": (event.outcomes_offset, event.run_index, event.run_calls),
        "override": None if event.override_actor is None else override_told,
    }


def replay(told: Told, policy: BreakerPolicy, recorded: list[BreakerTransitioned], decided_to: int) -> Any:
    """Fold the story's records again, the recorded transitions at hand."""
    breaker, window, pending = initial(PROVIDER, MODEL), Window(), tuple(recorded)
    events: list[BreakerTransitioned] = []
    for offset, (record, clock_us) in enumerate(told.records):
        decided = decide(
            breaker,
            window,
            PolicyInForce(policy, 8),
            record,
            offset=offset,
            clock_us=clock_us,
            recorded=pending,
            decided_to=decided_to,
        )
        breaker, window, pending = decided.breaker, decided.window, decided.recorded
        events.extend(decided.events)
    end = catch_up(breaker, window, pending, len(told.records))
    assert end.recorded == ()
    return end.breaker, end.window, events


@given(STORIES, policies())
def test_decides_what_a_naive_breaker_decides(steps: list[Any], policy: BreakerPolicy) -> None:
    """Same transitions at the same calls with the same figures, and the same counts in between."""
    told = tell(steps, policy)
    naive, window = told.naive, told.window
    assert [plain(event) for event in told.events] == naive.log
    seen = figures(window, policy)
    assert (seen.calls, seen.failures, seen.slow_calls, seen.consecutive_failures) == naive.figures()
    assert (window.total_calls, window.total_failures) == (naive.counted, naive.counted_failures)
    assert (window.stale_calls, window.stale_failures) == (naive.stale, naive.stale_failures)
    assert (window.calls, window.ignored_calls) == (len(naive.calls), naive.ignored)


@given(STORIES, policies(), policies())
def test_replay_under_another_policy_tells_the_same_story(
    steps: list[Any], policy: BreakerPolicy, later: BreakerPolicy
) -> None:
    """Recorded transitions are applied at their calls, nothing is decided again, and all bytes are the same."""
    told = tell(steps, policy)
    breaker, window, events = replay(told, later, told.events, decided_to=len(told.records))
    assert events == []
    assert breaker.to_json() == told.breaker.to_json()
    assert window.to_json() == told.window.to_json()


@given(STORIES, policies(), st.integers(0, 12))
def test_deciding_goes_on_where_the_record_ends(steps: list[Any], policy: BreakerPolicy, kept: int) -> None:
    """With only the first transitions on the log the rest is decided as it was, in the middle of a run too."""
    told = tell([step for step in steps if isinstance(step, Record)], policy)
    policies_equal = [replace(event, policy_version=8) for event in told.events]
    _, window, events = replay(told, policy, policies_equal[:kept], decided_to=0)
    assert events == policies_equal[kept:]
    assert window == told.window


@given(STORIES, policies())
def test_transitions_alone_give_the_same_breaker(steps: list[Any], policy: BreakerPolicy) -> None:
    """`evolve` needs nothing but the events; gates come from outcomes and are left out."""
    told = tell(steps, policy)
    breaker = initial(PROVIDER, MODEL)
    for event in told.events:
        breaker = evolve(evolve(breaker, event), event)
    assert breaker == replace(
        told.breaker, rate_asks=(), refused_since_us=None, refused_us=None, refused_kind=None
    )


@given(STORIES, policies())
def test_splitting_runs_changes_nothing(steps: list[Any], policy: BreakerPolicy) -> None:
    """Runs of one call each lead to the same transitions and the same states as the merged ones."""
    told = tell([step for step in steps if isinstance(step, Record)], policy)
    breaker, window = initial(PROVIDER, MODEL), Window()
    events: list[BreakerTransitioned] = []
    for offset, (record, clock_us) in enumerate(told.records):
        singles = tuple(single for run in record.runs for single in _split(run))
        decided = decide(
            breaker,
            window,
            PolicyInForce(policy, 7),
            replace(record, runs=singles),
            offset=offset,
            clock_us=clock_us,
        )
        breaker, window = decided.breaker, decided.window
        events.extend(decided.events)
    assert [replace(event, run_index=0, run_calls=0) for event in events] == [
        replace(event, run_index=0, run_calls=0) for event in told.events
    ]
    assert (breaker, window) == (told.breaker, told.window)


def _split(run: OutcomeRun) -> list[OutcomeRun]:
    """Runs of one call, the fastest first."""
    known = [index for index, count in enumerate(run.latency_buckets) for _ in range(count)]
    indexes: list[int | None] = [*[None] * (run.count - len(known)), *known]
    return [
        replace(
            run,
            count=1,
            latency_buckets=() if index is None else tuple(int(at == index) for at in range(LATENCY_BUCKETS)),
        )
        for index in indexes
    ]


@given(STORIES, policies())
def test_states_survive_their_bytes(steps: list[Any], policy: BreakerPolicy) -> None:
    """What is written to the store is read back equal."""
    told = tell(steps, policy)
    assert Breaker.from_json(told.breaker.to_json()) == told.breaker
    assert Window.from_json(told.window.to_json()) == told.window
