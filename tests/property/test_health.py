"""Health: batching never shows in the counts, and states equal a naive fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import orjson
from hypothesis import given
from hypothesis import strategies as st

from events.envelope import OutcomeKind
from events.outcomes_observed import OutcomeRun, OutcomesObserved
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth
from tests.reference.documents import check_documents, health_documents

NOW_S = 1_700_000_000
RUNS = st.lists(
    st.builds(
        OutcomeRun,
        kind=st.sampled_from(OutcomeKind),
        count=st.integers(1, 5),
        second=st.one_of(st.integers(NOW_S - 400, NOW_S + 5), st.integers(NOW_S - 5000, NOW_S + 5000)),
        latency_ms_sum=st.integers(0, 10_000),
        last_error=st.sampled_from([None, "boom"]),
    ),
    max_size=40,
)


def observed(runs: Sequence[OutcomeRun], at_s: int = NOW_S, model: str = "gpt-4o") -> OutcomesObserved:
    return OutcomesObserved(
        event_id="018bcfe5-687b-7abc-8def-0123456789ab",
        occurred_at=at_s * 1_000_000,
        source="test",
        tenant="",
        provider="openai",
        model=model,
        source_topic="usage",
        source_partition=0,
        source_start=0,
        source_end=1,
        runs=tuple(runs),
    )


def folded(events: Sequence[OutcomesObserved]) -> DeploymentHealth:
    health = DeploymentHealth.initial(events[0])
    for event in events:
        health = health.plus(event)
    return health


def cut(runs: Sequence[OutcomeRun], chance: Random) -> list[list[OutcomeRun]]:
    batches: list[list[OutcomeRun]] = [[]]
    for run in runs:
        if chance.random() < 0.3:
            batches.append([])
        batches[-1].append(run)
    return batches


def split(run: OutcomeRun, chance: Random) -> list[OutcomeRun]:
    """The same calls as two runs."""
    first = chance.randint(0, run.count)
    latency = chance.randint(0, run.latency_ms_sum)
    parts = ((first, latency), (run.count - first, run.latency_ms_sum - latency))
    if first in (0, run.count):
        return [run]
    return [replace(run, count=count, latency_ms_sum=ms) for count, ms in parts]


@given(RUNS, st.randoms(use_true_random=False))
def test_batching_of_runs_does_not_change_the_state(runs: list[OutcomeRun], chance: Random) -> None:
    """The same runs in the same order, in one event or many."""
    in_many = folded([observed(batch) for batch in cut(runs, chance)])
    assert in_many.to_json() == folded([observed(runs)]).to_json()


@given(RUNS, st.randoms(use_true_random=False))
def test_order_and_splitting_of_runs_do_not_change_the_counts(runs: list[OutcomeRun], chance: Random) -> None:
    """Counts by time and kind commute; only what follows the order may differ."""
    pieces = [piece for run in runs for piece in split(run, chance)]
    chance.shuffle(pieces)
    one, other = folded([observed(runs)]), folded([observed(batch) for batch in cut(pieces, chance)])
    assert (one.totals, one.newest_s, one.fine, one.coarse) == (
        other.totals,
        other.newest_s,
        other.fine,
        other.coarse,
    )


@given(st.lists(st.tuples(RUNS, st.integers(-100, 4000), st.sampled_from(["gpt-4o", "o3"])), max_size=6))
def test_health_equals_the_naive_fold(batches: list[tuple[list[OutcomeRun], int, str]]) -> None:
    """Figure by figure, for each deployment."""
    events = [observed(runs, NOW_S + at, model) for runs, at, model in batches]
    states = {
        name: orjson.loads(folded([event for event in events if event.deployment == name]).to_json())
        for name in {event.deployment for event in events}
    }
    assert states == health_documents(events)


@given(
    st.lists(
        st.builds(
            ProviderHealthChecked,
            event_id=st.just("018bcfe5-687b-7abc-8def-0123456789ab"),
            occurred_at=st.integers(0, 30 * 3600).map(lambda second: (NOW_S + second) * 1_000_000),
            source=st.just("test"),
            tenant=st.just(""),
            provider=st.just("openai"),
            model=st.sampled_from([None, "gpt-4o"]),
            status=st.sampled_from(HealthStatus),
            latency_ms=st.one_of(st.none(), st.floats(0, 86_400_000)),
            status_code=st.sampled_from([None, 503]),
            error=st.sampled_from([None, "boom"]),
        ),
        max_size=30,
    )
)
def test_checks_equal_the_naive_fold(checks: list[ProviderHealthChecked]) -> None:
    """Figure by figure, for each subject; and a state read back goes on as before."""
    states: dict[str, CheckHealth] = {}
    for event in checks:
        subject = "openai/gpt-4o" if event.model else "openai"
        health = states.get(subject) or CheckHealth.initial(subject)
        states[subject] = CheckHealth.from_json(health.plus(event).to_json())
    assert {name: orjson.loads(state.to_json()) for name, state in states.items()} == check_documents(checks)
