"""Outcomes that two workers cut at different offsets: a fold that takes of each what is new has every call once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import deployment_name
from events.outcomes_observed import OutcomeRun, OutcomesObserved, unpacked_calls
from processors.usage.observe import Source, observed
from processors.usage.runs import Runs
from processors.verify.naive.sieve import rest_of

DEPLOYMENTS = (("openai", "gpt-4o", None), ("openai", "gpt-4o", "eu"))
START = 1000

Call = tuple[tuple[str, str, str | None], dict[str, Any]]

calls = st.lists(
    st.tuples(
        st.sampled_from(DEPLOYMENTS),
        st.fixed_dictionaries(
            {
                "outcome": st.sampled_from(["SUCCESS", "TIMEOUT"]),
                "breaker_epoch": st.sampled_from([None, 3]),
                "occurred_at": st.integers(0, 2).map(lambda second: second * 1_000_000),
                "latency_ms": st.integers(0, 7 * 86_400_000),
                "error": st.none(),
                "retry_after_ms": st.none(),
            }
        ),
    ),
    min_size=1,
    max_size=30,
)
cuts = st.sets(st.integers(0, 30), max_size=6)


def derived(made: list[Call], begin: int, end: int) -> list[OutcomesObserved]:
    """What a worker appends of the calls [begin, end)."""
    runs = Runs(10**9, START + begin)
    for place in range(begin, end):
        runs.observe(*made[place], START + place)
    return list(observed(runs.by_deployment, Source("usage", 0, START + begin, START + end), {}, 0))


def history(made: list[Call], at: set[int]) -> list[OutcomesObserved]:
    """What a worker appends that cuts at these places."""
    places = sorted({0, len(made)} | {place for place in at if place < len(made)})
    return [event for begin, end in pairwise(places) for event in derived(made, begin, end)]


def told(event: OutcomesObserved) -> list[tuple[str, int, int, str]]:
    """Its calls one by one: deployment, offset, latency and kind."""
    name = deployment_name(event.provider, event.model, event.region)
    return [
        (name, event.source_start + place, latency_ms, str(run.kind))
        for run in event.runs
        for place, latency_ms in unpacked_calls(run.calls)
    ]


def figures(runs: tuple[OutcomeRun, ...]) -> list[tuple[int, int, tuple[int, ...]]]:
    """What is counted of runs."""
    return [(run.count, run.latency_ms_sum, run.latency_buckets) for run in runs]


@given(calls, cuts, cuts, st.randoms(use_true_random=False))
def test_every_call_counts_once_however_two_workers_cut(
    made: list[Call], one: set[int], other: set[int], random: Any
) -> None:
    """Their records may lie on the log in any mixture that keeps the order of each."""
    left = [history(made, one), history(made, other)]
    covered: dict[str, int] = {}
    counted = []
    while any(left):
        event = random.choice([events for events in left if events]).pop(0)
        fresh = event.after(covered.get(event.deployment, 0))
        assert fresh == rest_of(event, covered.get(event.deployment, 0))
        if fresh is not None:
            covered[event.deployment] = fresh.source_end
            counted += told(fresh)
    expected = [
        (deployment_name(*deployment), START + place, usage["latency_ms"], usage["outcome"])
        for place, (deployment, usage) in enumerate(made)
    ]
    assert sorted(counted) == sorted(expected)


@given(calls, st.integers(0, 30))
def test_what_is_left_is_what_would_have_been_derived_from_there(made: list[Call], skipped: int) -> None:
    """Same counts, sums and buckets, run by run."""
    for event in derived(made, 0, len(made)):
        rest = event.after(START + skipped)
        same = [
            one
            for one in derived(made, min(skipped, len(made)), len(made))
            if one.deployment == event.deployment
        ]
        assert figures(rest.runs if rest else ()) == figures(same[0].runs if same else ())


@given(calls)
def test_outcomes_of_the_first_schema_are_taken_whole_or_not_at_all(made: list[Call]) -> None:
    """They do not say where their calls lie."""
    for event in derived(made, 0, len(made)):
        runs = tuple(
            OutcomeRun(kind=run.kind, count=run.count, second=run.second, breaker_epoch=run.breaker_epoch)
            for run in event.runs
        )
        old = OutcomesObserved(
            **{name: getattr(event, name) for name in event.__dataclass_fields__} | {"runs": runs}
        )
        assert old.after(START) == old
        assert old.after(START + 1) is None
