"""A breaker's story told again under another policy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerTransitioned
from events.ids import derived_id
from events.outcomes_observed import OutcomeRun, OutcomesObserved, packed_calls
from events.provider_changed import BreakerPolicy, ProviderChanged
from processors.backtest.breakers import BreakerBacktest
from processors.backtest.calls import changed_calls
from processors.backtest.deployment import DeploymentRun
from processors.backtest.downtime import downtimes
from processors.backtest.policy import TriedPolicy
from processors.backtest.settings_history import SettingsHistory
from projections.live.provider import ProviderSettings
from tests.breaker_story import DEPLOYMENT, DOWN, OK, PROVIDER, SECOND_US, START_S, Story, observed


@dataclass
class Told(Story):
    """A story whose records are kept, as the log keeps them."""

    records: list[tuple[OutcomesObserved, int]] = field(default_factory=list)

    def outcomes(self, *runs: OutcomeRun) -> list[BreakerTransitioned]:
        """As Story.outcomes."""
        self.records.append((observed(self.offset, *runs), self.clock_us))
        return super().outcomes(*runs)


def settings(policy: BreakerPolicy, version: int = 1) -> ProviderChanged:
    """The provider is set."""
    return ProviderChanged(
        event_id=derived_id("settings", version),
        occurred_at=START_S * SECOND_US,
        source="story",
        tenant="",
        provider=PROVIDER,
        version=version,
        breaker_policy=policy,
        actor="ann",
    )


def told_again(story: Told, begins_us: int = 0, first: int = 0, **tried: object) -> DeploymentRun:
    """The story's deployment, decided by its policy with some settings changed."""
    policy = replace(story.policy, **tried)  # type: ignore[arg-type]
    history = SettingsHistory([(0, settings(story.policy))] if story.policy_version else [])
    settings_tried = ProviderSettings(provider=PROVIDER, version=1, breaker_policy=policy)
    fold = BreakerBacktest(
        history, TriedPolicy({PROVIDER: settings_tried}), begins_us=begins_us, first_offset=first
    )
    events = [event for event in story.events if event.outcomes_offset >= first]
    for offset, (record, clock_us) in enumerate(story.records):
        while events and events[0].outcomes_offset <= offset:
            fold.transition(events.pop(0))
        if offset >= first:
            fold.outcomes(record, offset, clock_us)
            fold.passed(offset + 1, clock_us)
    for event in events:
        fold.transition(event)
    fold.finish(len(story.records))
    return fold.deployments[DEPLOYMENT]


def causes(events: list[BreakerTransitioned]) -> list[str]:
    """Why each moved."""
    return [str(event.cause) for event in events]


def test_a_lower_limit_opens_at_the_earlier_call_and_spares_what_came_after() -> None:
    """Three in a row instead of five: opened after the third, and the calls of the next seconds are refused."""
    story = Told()
    story.calls(4, DOWN, epoch=0)
    story.wait(5)
    story.calls(2, DOWN, epoch=0)
    story.wait(2)
    story.calls(3, OK)
    run = told_again(story, consecutive_failures=3)
    assert causes(story.events) == ["CONSECUTIVE_FAILURES"]
    [opened] = run.added.kept
    assert (opened.outcomes_offset, opened.run_calls, opened.reason) == (
        0,
        3,
        "3 failures in a row (limit 3)",
    )
    assert causes(run.removed.kept) == ["CONSECUTIVE_FAILURES"]
    changed = changed_calls([run])
    assert (changed.refused.calls, changed.refused.failed) == (2, 2)
    assert (changed.unchanged.calls, changed.unchanged.failed) == (7, 4)


def test_a_higher_limit_releases_the_calls_that_met_an_open_breaker() -> None:
    """Nobody knows of calls that were refused: those that were made without asking are counted."""
    story = Told()
    story.trip()
    story.wait(3)
    story.calls(4, OK)
    run = told_again(story, consecutive_failures=50, minimum_calls=100)
    assert causes(run.removed.kept) == ["CONSECUTIVE_FAILURES"]
    assert run.added.count == 0
    released = changed_calls([run]).released
    assert (released.calls, released.failed) == (4, 0)


def test_calls_that_were_made_stand_in_for_the_probes_of_a_breaker_that_was_closed() -> None:
    """They are taken as admitted by the breaker that is tried, not by the recorded one, whose epoch they carry."""
    story = Told()
    story.calls(2, DOWN, epoch=0)
    story.wait(60)
    story.calls(3, OK, epoch=0)
    assert story.events == []
    run = told_again(story, consecutive_failures=2)
    assert causes(run.added.kept) == ["CONSECUTIVE_FAILURES", "OPEN_ELAPSED", "PROBES_SUCCEEDED"]


def test_calls_that_were_under_way_when_the_tried_breaker_opened_are_no_probes() -> None:
    """A call that ends while it is half-open, and began before it opened, says nothing of the time since."""
    story = Told()
    story.calls(2, DOWN, epoch=0)
    story.wait(50)
    story.calls(3, OK, epoch=0, latency_ms=120_000)
    run = told_again(story, consecutive_failures=2)
    assert causes(run.added.kept) == ["CONSECUTIVE_FAILURES", "OPEN_ELAPSED"]


def test_an_operators_override_meets_both_sides_at_its_place() -> None:
    """The override is a fact: it is not decided again, whatever the policy; what it ends may differ."""
    story = Told()
    story.calls(2, DOWN, epoch=0)
    story.override(OverrideMode.FORCED_OPEN)
    story.wait(10)
    story.override(OverrideMode.NONE, reason="it is well: really")
    story.wait(1)
    story.calls(1, OK, epoch=2)
    run = told_again(story, consecutive_failures=2)
    assert causes(run.added.kept) == ["CONSECUTIVE_FAILURES"]
    assert run.removed.count == 0
    assert run.same == 2
    assert run.not_reproduced.count == 0


def test_a_verdict_that_was_waited_for_comes_when_the_worker_looked() -> None:
    """The wait is the same, so the tried breaker times out with the recorded one; a shorter wait ends by itself."""
    story = Told()
    story.half_open()
    story.wait(30)
    story.calls(1, OK)
    story.wait(30)
    story.calls(1, OK)
    story.tick()
    assert causes(story.events)[-1] == "HALF_OPEN_TIMEOUT"
    same = told_again(story, slow_rate=0.9)
    assert (same.added.count, same.removed.count, same.same) == (0, 0, 3)
    sooner = told_again(story, half_open_max_wait_s=20)
    assert causes(sooner.added.kept)[0] == "HALF_OPEN_TIMEOUT"
    assert sooner.added.kept[0].occurred_at < story.events[-1].occurred_at


def test_a_log_that_begins_later_begins_with_what_its_first_transition_says() -> None:
    """Older records are gone: the first transition tells where the breaker stood, and the gap is counted."""
    story = Told()
    story.trip()
    story.reach_half_open()
    story.calls(3, OK, epoch=2)
    story.wait(400)
    story.calls(1, OK, epoch=3)
    story.wait(400)
    story.trip()
    run = told_again(story, first=2, open_for_s=10)
    assert run.gaps == 1
    assert run.recorded.breaker.version == 4
    assert run.not_reproduced.count == 0


def test_settings_that_were_taken_late_are_found_by_what_they_decided() -> None:
    """The record's time says that they were there; what was decided says that they were not taken yet."""
    story = Told()
    story.calls(3, DOWN, epoch=0)
    story.wait(1)
    story.calls(1, DOWN, epoch=0)
    late = settings(BreakerPolicy(consecutive_failures=2))
    fold = BreakerBacktest(SettingsHistory([(START_S * 1000 - 5, late)]), TriedPolicy())
    for offset, (record, clock_us) in enumerate(story.records):
        fold.outcomes(record, offset, clock_us)
    assert fold.deployments[DEPLOYMENT].not_reproduced.count == 0


def test_what_does_not_follow_from_the_settings_is_told() -> None:
    """A transition on the log that the recorded settings do not lead to is applied, and told."""
    story = Told(policy=BreakerPolicy(consecutive_failures=2))
    story.calls(2, DOWN, epoch=0)
    other = Told(records=story.records, events=story.events)
    run = told_again(other)
    assert causes(run.not_reproduced.kept) == ["CONSECUTIVE_FAILURES"]
    assert run.recorded.breaker.version == 1
    assert (run.added.count, run.removed.count) == (0, 0)


def test_outcomes_that_came_twice_are_counted_once() -> None:
    """The source range was folded before."""
    story = Told()
    story.calls(3, DOWN, epoch=0)
    record, clock_us = story.records[0]
    fold = BreakerBacktest(SettingsHistory(), TriedPolicy())
    for offset in (0, 1):
        fold.outcomes(record, offset, clock_us)
    assert fold.duplicates == 1
    assert changed_calls(fold.deployments.values()).unchanged.calls == 3


def test_what_was_decided_by_outcomes_that_count_nothing_is_applied_and_told() -> None:
    """The log says that the breaker moved, whatever its outcomes were worth."""
    story = Told(policy=BreakerPolicy(consecutive_failures=2))
    story.calls(1, DOWN, epoch=0)
    [opened] = story.calls(1, DOWN, epoch=0)
    record, clock_us = story.records[0]
    fold = BreakerBacktest(SettingsHistory(), TriedPolicy())
    fold.outcomes(record, 0, clock_us)
    fold.transition(opened)
    fold.outcomes(record, 1, clock_us)
    run = fold.deployments[DEPLOYMENT]
    assert run.recorded.breaker.state == run.decided.breaker.state == opened.to_state
    assert run.not_reproduced.kept == [opened]


def test_of_outcomes_that_came_in_part_the_rest_counts() -> None:
    """Another owner told of the same calls and two more: those two are new."""
    story = Told()
    runs = [
        replace(story.run(count, DOWN), calls=packed_calls((at, 10) for at in range(count)))
        for count in (3, 5)
    ]
    fold = BreakerBacktest(SettingsHistory(), TriedPolicy())
    for offset, run in enumerate(runs):
        record = observed(offset, run, start=0, end=run.count)
        fold.outcomes(record, offset, story.clock_us)
    [found] = fold.deployments.values()
    assert changed_calls([found]).unchanged.calls == 5
    assert causes(found.not_reproduced.kept) == ["CONSECUTIVE_FAILURES"]


def test_a_model_is_down_when_its_only_deployment_fails_or_is_open() -> None:
    """From the first failure on; ten seconds after the last one it counts as failing no more, unless it is open."""
    story = Told()
    story.calls(2, DOWN, epoch=0)
    story.wait(100)
    story.calls(1, OK, epoch=0)
    end_us = (START_S + 200) * SECOND_US
    [as_is] = downtimes([told_again(story)], end_us)
    assert (as_is.recorded_us, as_is.tried_us) == (10 * SECOND_US, 10 * SECOND_US)
    run = told_again(story, consecutive_failures=2, jitter=0.0)
    [opened] = downtimes([run], end_us)
    assert (opened.recorded_us, opened.tried_us) == (10 * SECOND_US, 30 * SECOND_US)
