"""Documents say what filters may ask, in the same keys for every window; filters mean what they say."""

from __future__ import annotations

import pytest

from events.envelope import MAX_LONG, OutcomeKind
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.routing_decided import Candidate, RoutingDecided
from projections.analytics.documents import CARRIER, COLLECTIONS, Draft
from projections.analytics.drafts import drafts
from projections.analytics.filters import FIELDS, BadConditionError, Comparison, Condition, checked
from projections.analytics.vectors import FIGURES
from projections.analytics.windows import Lengths, Window, add_up, contributions
from tests.integration.analytics.stories import opened, outcomes
from tests.integration.log import NOW_US, usage

ROUTED = RoutingDecided(
    event_id="018bcfe5-687b-7abc-8def-0123456789ab",
    occurred_at=NOW_US,
    source="router",
    tenant="acme",
    request_id="r",
    provider="",
    model="",
    strategy="priority",
    candidates=(Candidate(deployment="openai/gpt-4o", breaker_state="OPEN", verdict="breaker_open"),),
)
CHECKED = ProviderHealthChecked(
    event_id="018bcfe5-687b-7abc-8def-0123456789ab",
    occurred_at=NOW_US,
    source="prober",
    tenant="",
    provider="openai",
    status=HealthStatus.DEGRADED,
)
EVENTS = (usage(), ROUTED, outcomes("openai", 0, 3, 2), opened("openai", 0), CHECKED)
KEPT_INSIDE = {"sums", "applied", "latency_buckets"}


def made_of(*events: object) -> list[Draft]:
    """The documents of the windows of these events."""
    parts = [part for event in events for part in contributions(event, Lengths())]  # type: ignore[arg-type]
    keys = {key for key, _ in parts}
    windows = [Window(key, add_up(part for of, part in parts if of == key), 1) for key in keys]
    return [draft for window in windows for draft in drafts(window)]


def test_every_document_has_exactly_the_fields_that_filters_know() -> None:
    """An upsert merges keys, so a key that comes and goes would keep an old value."""
    found = made_of(*EVENTS)
    assert {draft.collection for draft in found} == set(COLLECTIONS)
    for draft in found:
        assert draft.metadata.keys() - KEPT_INSIDE == FIELDS[draft.collection].keys()
        types = {name: type(value) for name, value in draft.metadata.items() if name not in KEPT_INSIDE}
        assert types == dict(FIELDS[draft.collection]), draft.collection


def test_the_document_that_carries_the_sums_is_the_last() -> None:
    """So a crash between two documents leaves the window as it was."""
    for event in EVENTS:
        [*others, last] = made_of(event)
        assert "sums" in last.metadata
        assert last.collection in CARRIER.values()
        assert all("sums" not in draft.metadata for draft in others)


def test_figures_lie_between_zero_and_one() -> None:
    """Also of calls that are as large as events allow."""
    huge = usage(
        input_tokens=MAX_LONG,
        output_tokens=MAX_LONG,
        latency_ms=7 * 86_400_000,
        cost_nano_usd=MAX_LONG,
        outcome=OutcomeKind.TIMEOUT,
        attempt=1000,
    )
    refund = usage(cost_nano_usd=-MAX_LONG, tenant="globex")
    for draft in made_of(*EVENTS, huge, huge, refund):
        assert len(draft.numbers) <= FIGURES
        assert all(0.0 <= number <= 1.0 for number in draft.numbers), draft
        assert all(abs(value) <= MAX_LONG for value in draft.metadata.values() if isinstance(value, int))


@pytest.mark.parametrize(
    "condition",
    [
        Condition("colour", Comparison.EQ, "red"),
        Condition("tenant", Comparison.GT, "acme"),
        Condition("tenant", Comparison.EQ, 7),
        Condition("calls", Comparison.EQ, "7"),
        Condition("calls", Comparison.GT, 7.5),
        Condition("calls", Comparison.GT, 2**63),
        Condition("error_rate", Comparison.GT, float("inf")),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(condition: Condition) -> None:
    """By its place among the others."""
    with pytest.raises(BadConditionError) as refused:
        checked("usage_patterns", [Condition("calls", Comparison.GTE, 1), condition])
    assert refused.value.index == 1


def test_a_condition_holds_as_it_is_asked_of_chroma() -> None:
    """The same comparison, here and there."""
    at_least = Condition("calls", Comparison.GTE, 5)
    assert at_least.where() == {"calls": {"$gte": 5}}
    assert at_least.holds({"calls": 5})
    assert not at_least.holds({"calls": 4})
