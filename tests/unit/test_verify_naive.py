"""The naive fold of a slot that is verified while it is written: what has to be in its states, and what may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.codec import Codec
from events.envelope import OutcomeKind
from events.ids import derived_id
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, OutcomesObserved
from events.registry import open_registry
from events.settings import LogSettings
from processors.verify.naive.provider import NaiveProviderSlot
from processors.verify.naive.row import FOLDED
from processors.verify.naive.tenant import NaiveTenantSlot
from projections.live.slots import FOLDED_TOPICS

START_S = 1_700_000_000
SETTINGS = LogSettings(partitions=1)
CODEC = Codec(open_registry(None, "", None))
BREAKER = "breaker:openai/gpt-4o"
_IDS = count()


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the one partition."""

    offset: int
    event: OutcomesObserved
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "outcomes"
    partition: int = 0
    timestamp: int = START_S * 1000
    key: bytes = b"openai"

    @property
    def value(self) -> bytes:
        """As it lies on the log."""
        return CODEC.encode(self.event)


def observed(start: int, *, calls: int = 1) -> OutcomesObserved:
    """Failed calls of one deployment, of a source range of one record."""
    run = OutcomeRun(
        kind=OutcomeKind.SERVER_ERROR,
        count=calls,
        second=START_S,
        latency_buckets=(calls,) + (0,) * (LATENCY_BUCKETS - 1),
    )
    return OutcomesObserved(
        event_id=derived_id("test", next(_IDS)),
        occurred_at=START_S * 1_000_000,
        source="test",
        tenant="",
        provider="openai",
        model="gpt-4o",
        source_topic="usage",
        source_partition=0,
        source_start=start,
        source_end=start + 1,
        runs=(run,),
    )


def moved(
    version: int, offset: int, to_state: BreakerState = BreakerState.FORCED_OPEN
) -> BreakerTransitioned:
    """A transition that was decided before the outcomes at an offset."""
    return BreakerTransitioned(
        event_id=derived_id("breaker", version),
        occurred_at=START_S * 1_000_000,
        source="test",
        tenant="",
        provider="openai",
        model="gpt-4o",
        version=version,
        from_state=BreakerState.CLOSED,
        to_state=to_state,
        cause=TransitionCause.OVERRIDE_SET,
        reason="ann: tests",
        epoch=version,
        trips=0,
        calls=0,
        failures=0,
        slow_calls=0,
        consecutive_failures=0,
        policy_version=0,
        outcomes_offset=offset,
    )


def folded(*events: OutcomesObserved) -> NaiveProviderSlot:
    """A provider slot after these outcomes."""
    slot = NaiveProviderSlot(CODEC, SETTINGS)
    for offset, event in enumerate(events):
        slot.take("outcomes", Record(offset, event))
    slot.came_to({"outcomes": len(events)})
    return slot


def test_a_transition_that_was_decided_meanwhile_may_be_there_or_not() -> None:
    """At the very offset of the look; the side that the live state is on is right, a third one is not."""
    slot = folded(observed(0))
    slot.decided([(moved(1, 1), False)])
    slot.came_to({"outcomes": 1})
    without = slot.says(BREAKER, None)
    with_it = without | {"version": 1, "state": "FORCED_OPEN"}
    assert without["version"] == 0
    assert slot.says(BREAKER, with_it) == without
    there = folded(observed(0))
    there.decided([(moved(1, 1), True)])
    there.came_to({"outcomes": 1})
    applied = there.says(BREAKER, without)
    assert (applied["version"], applied["state"]) == (1, "FORCED_OPEN")
    assert slot.says(BREAKER, applied) == applied


def test_a_transition_below_the_look_is_there_though_nobody_had_published_it() -> None:
    """It was committed with the outcomes that it follows from."""
    slot = folded(observed(0))
    slot.decided([(moved(1, 0), False)])
    slot.came_to({"outcomes": 1})
    assert slot.says(BREAKER, None)["version"] == 1
    assert slot.says("window:openai/gpt-4o", None)["calls"] == 0


def test_a_transition_beyond_the_look_is_not_applied() -> None:
    """In a replay all transitions are on the log before the outcomes are folded again: only the state is begun."""
    slot = folded()
    slot.decided([(moved(1, 7), True)])
    slot.came_to({"outcomes": 0, "providers": 3})
    assert slot.says(BREAKER, None)["version"] == 0
    assert {BREAKER, "index:breaker"} <= slot.keys()


def test_outcomes_that_were_covered_before_and_records_that_are_no_events_count_nothing() -> None:
    """The first of a source range counts, and a record under a foreign key never does."""
    slot = folded(observed(0), observed(0, calls=3))
    slot.take("outcomes", Record(2, replace(observed(2), provider="mistral"), key=b"openai"))
    slot.came_to({"outcomes": 3})
    assert slot.says("health:openai/gpt-4o", None)["totals"] == {"SERVER_ERROR": 1}
    assert slot.says("health:mistral/gpt-4o", None) is None


def test_an_alert_that_was_raised_meanwhile_may_be_there_or_not() -> None:
    """One that was on the log before the look has to be; one that is on no log must not."""
    alerts = [
        AlertRaised(
            event_id=derived_id("alert", number),
            occurred_at=START_S * 1_000_000,
            source="test",
            tenant="acme",
            kind=AlertKind.BUDGET_THRESHOLD,
            severity=AlertSeverity.INFO,
            subject="acme/b",
            title="t",
            period_end=number + 1,
        )
        for number in range(3)
    ]
    slot = NaiveTenantSlot(CODEC, SETTINGS)
    slot.decided([(alerts[0], True), (alerts[1], False)])
    ids = [alert.event_id for alert in alerts]

    def says(*live: str) -> set[str]:
        document = {"tenant": "acme", "period_ends": dict.fromkeys(live, 0)}
        return set(slot.says("raised:acme", document)["period_ends"])

    assert says() == {ids[0]}
    assert says(ids[0], ids[1]) == {ids[0], ids[1]}
    assert says(ids[1], ids[2]) == {ids[0], ids[1]}
    assert slot.says("raised:nobody", {"period_ends": {ids[1]: 2}}) is None


def test_a_key_of_no_known_kind_must_not_be_there() -> None:
    """Whatever it holds."""
    slot = folded(observed(0))
    for key in ("spend:acme|tenant|1", "nonsense", "index:nonsense", "horizon:usage", ""):
        assert slot.says(key, {}) is None


def test_rows_of_all_that_workers_fold_are_judged() -> None:
    """One of a record that does not count would else pass for right."""
    assert FOLDED == FOLDED_TOPICS
