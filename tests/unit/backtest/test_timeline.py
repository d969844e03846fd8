"""Spans of time: when a breaker admitted what, when calls failed, and when users had nowhere to go."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import OutcomeKind
from processors.backtest.deployment import DeploymentRun
from processors.backtest.downtime import downtimes
from processors.backtest.epochs import Epochs
from processors.backtest.failing import LASTS_US, Failing
from processors.backtest.timeline import Admission, Span, Timeline, common, merged, total_us
from projections.live.breaker import initial
from tests.breaker_story import SECOND_US, START_S, Story

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))
)


def seconds_of(spans: list[Span]) -> set[int]:
    """Every whole unit that lies in a span."""
    return {at for start, end in spans for at in range(start, end)}


@given(SPANS, SPANS)
def test_spans_are_sets_of_instants(one: list[Span], other: list[Span]) -> None:
    """Union, intersection and length are those of the instants in them."""
    assert seconds_of(merged(one)) == seconds_of(one)
    assert total_us(merged(one)) == len(seconds_of(one))
    both = common(merged(one), merged(other))
    assert seconds_of(both) == seconds_of(one) & seconds_of(other)
    assert both == merged(both)


def test_an_open_breaker_admits_probes_once_its_wait_is_over() -> None:
    """Before its transition is on the log; the transition itself then changes nothing."""
    story = Story()
    opened = story.trip()
    timeline = Timeline()
    timeline.add(opened)
    assert opened.open_until is not None
    assert timeline.at(opened.occurred_at - 1) is Admission.ALL
    assert timeline.at(opened.open_until - 1) is Admission.NONE
    assert timeline.at(opened.open_until) is Admission.PROBES
    timeline.add(story.reach_half_open())
    end_us = opened.open_until + 10**9
    assert list(timeline.spans(Admission.NONE, 0, end_us)) == [(opened.occurred_at, opened.open_until)]


def test_an_epoch_is_that_of_the_instant_of_admission() -> None:
    """A call admitted after the wait is over carries the epoch of the half-open breaker, whoever has seen it."""
    story = Story()
    opened = story.trip()
    epochs = Epochs()
    epochs.add(opened)
    assert opened.open_until is not None
    assert [epochs.at(at) for at in (opened.occurred_at - 1, opened.occurred_at, opened.open_until)] == [
        0,
        1,
        2,
    ]


def test_failing_lasts_from_a_failure_to_the_next_success() -> None:
    """At most ten seconds after the last failure; calls that nobody is to blame for change nothing."""
    failing = Failing()
    for at_s, kind in (
        (10, OutcomeKind.TIMEOUT),
        (12, OutcomeKind.BAD_REQUEST),
        (15, OutcomeKind.SUCCESS),
        (30, OutcomeKind.SERVER_ERROR),
        (35, OutcomeKind.SERVER_ERROR),
        (80, OutcomeKind.SUCCESS),
        (90, OutcomeKind.SERVER_ERROR),
        (90, OutcomeKind.SUCCESS),
    ):
        failing.add(kind, at_s * SECOND_US)
    assert list(failing.spans(10**12)) == [
        (10 * SECOND_US, 15 * SECOND_US),
        (30 * SECOND_US, 35 * SECOND_US + LASTS_US),
    ]


def test_a_model_is_up_while_one_of_its_deployments_is() -> None:
    """Of two, each bad at times, only what is bad of both counts; one that was not called yet is no way out."""
    runs = []
    for region, first_s, bad in (("eu", 0, ((0, 8), (20, 30))), ("us", 5, ((5, 12), (25, 50)))):
        run = DeploymentRun(initial("openai", "gpt-4o", region))
        run.first_us = (START_S + first_s) * SECOND_US
        for start, end in bad:
            run.failing.add(OutcomeKind.SERVER_ERROR, (START_S + start) * SECOND_US)
            run.failing.add(OutcomeKind.SUCCESS, (START_S + min(end, start + 9)) * SECOND_US)
        runs.append(run)
    [found] = downtimes(runs, (START_S + 60) * SECOND_US)
    assert found.deployments == ("openai/gpt-4o@eu", "openai/gpt-4o@us")
    assert [
        ((start // SECOND_US) - START_S, (end // SECOND_US) - START_S) for start, end in found.recorded
    ] == [
        (0, 8),
        (25, 29),
    ]


def test_a_deployment_without_calls_is_no_deployment_of_the_model() -> None:
    """It is neither a way out nor a way down."""
    silent = DeploymentRun(replace(initial("openai", "gpt-4o")))
    assert downtimes([silent], 10**15) == []
