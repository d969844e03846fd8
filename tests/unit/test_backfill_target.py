"""What a backfill fills, by its name, and which events an excerpt means."""

from __future__ import annotations

import pytest

from processors.backfill.target import NoTargetError, Target, collections_of, target_of
from projections.history.excerpt import DAY_US, Excerpt


def test_a_target_is_a_store_a_table_or_the_rollups() -> None:
    """Rollups are made anew with the calls that they sum up."""
    every = target_of("history")
    assert (len(every.topics), every.rolled_up) == (12, ("usage", "adjustments"))
    for topic in every.rolled_up:
        assert target_of(f"history.{topic}") == Target(f"history.{topic}", (topic,), (topic,))
    letters = target_of("history.dead_letters")
    assert (letters.topics, letters.rolled_up) == (("dead-letters",), ())
    assert target_of("rollups") == Target("rollups", (), every.rolled_up)
    of_provider = target_of("history", of_provider=True)
    assert set(every.topics) - set(of_provider.topics) == {"alerts", "audit", "dead-letters"}


def test_collections_of_the_analytics_are_targets() -> None:
    """All of them, or one by its name."""
    assert collections_of("analytics.usage_patterns") == ("usage_patterns",)
    assert set(collections_of("analytics")) > {"usage_patterns", "provider_states"}
    assert collections_of("history") == collections_of("analytics.nothing") == ()


@pytest.mark.parametrize(
    "text, said",
    [
        ("live", "`interlock rebuild live`"),
        ("analytics.nothing", "analytics.usage_patterns"),
        ("history.nothing", "history.usage"),
        ("usage", "history.usage"),
        ("rollups.usage", "rollups"),
    ],
)
def test_what_cannot_be_filled_is_said_with_what_can(text: str, said: str) -> None:
    """Or with the command for it."""
    with pytest.raises(NoTargetError, match=said):
        target_of(text)


def test_a_table_whose_events_name_no_provider_has_none_of_one() -> None:
    """It is said, instead of filling nothing."""
    with pytest.raises(NoTargetError, match="leave out --provider"):
        target_of("history.audit", of_provider=True)


def test_an_excerpt_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    """Of a tenant and a provider, if they are asked for."""
    excerpt = Excerpt(10, 20, provider="openai")
    event = {"occurred_at": 10, "tenant": "acme", "provider": "openai"}
    assert excerpt.holds(event)
    assert not excerpt.holds(event | {"occurred_at": 20})
    assert not excerpt.holds(event | {"provider": "google"})
    assert not Excerpt(10, 20, tenant="globex").holds(event)
    assert not excerpt.holds({"occurred_at": 10, "tenant": "acme"})
    assert excerpt.holds(event | {"occurred_at": 30, "usage_occurred_at": 19})
    assert excerpt.holds(event | {"usage_occurred_at": 9})
    assert not excerpt.holds(event | {"occurred_at": 30, "usage_occurred_at": 20})


def test_whole_days_go_from_midnight_to_midnight() -> None:
    """A whole day stays as it is."""
    assert Excerpt(DAY_US + 1, 2 * DAY_US + 1).whole_days() == Excerpt(DAY_US, 3 * DAY_US)
    assert list(Excerpt(DAY_US, 3 * DAY_US, "acme").days()) == [
        Excerpt(DAY_US, 2 * DAY_US, "acme"),
        Excerpt(2 * DAY_US, 3 * DAY_US, "acme"),
    ]
