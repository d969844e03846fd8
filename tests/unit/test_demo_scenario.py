"""What follows from the options: the run as a whole, the settings, and what a gateway remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.errors import BadInputError
from demo.fleet import PRIORITIES, TENANTS
from demo.known import KnownPositions
from demo.options import TRAFFIC_WALL_S, DemoOptions
from demo.scenario import scenario_of
from demo.setup import expected_cost, settings_events
from demo.sights import Lookout, load
from events.breaker_transitioned import BreakerState
from events.budget_changed import BudgetChanged
from events.catalogue import TOPIC_OF_EVENT
from events.codec import Codec
from events.provider_changed import ProviderChanged
from events.registry import FolderRegistry
from projections.live.breaker import Breaker
from projections.live.change import Change
from projections.live.slots import Slot


def test_without_a_speed_the_traffic_takes_its_time_on_the_wall_clock() -> None:
    """The span of history over the speed is what a whole demo has room for."""
    options = DemoOptions.of()
    scenario = scenario_of(options)
    span_s = (scenario.requests[-1].at_us - options.at_us) / 1_000_000
    assert span_s / scenario.speed == pytest.approx(TRAFFIC_WALL_S)


def test_a_speed_that_is_given_is_kept() -> None:
    """SPEED wins."""
    assert scenario_of(DemoOptions.of(speed=30, minutes=5)).speed == 30


def test_more_history_than_fits_is_refused() -> None:
    """Faster than a duplicate's horizon allows would prove nothing."""
    with pytest.raises(BadInputError, match="give MINUTES or SPEED"):
        scenario_of(DemoOptions.of(minutes=300))


def test_settings_are_events_like_any_other() -> None:
    """Every provider and every tenant's budget is set, and every event can be written; the same seed says the same."""
    options = DemoOptions.of(minutes=5)
    scenario = scenario_of(options)
    events = settings_events(options, scenario)
    assert {e.provider for e in events if isinstance(e, ProviderChanged)} == set(PRIORITIES)
    assert {e.tenant for e in events if isinstance(e, BudgetChanged)} == set(TENANTS)
    codec = Codec(FolderRegistry())
    for event in events:
        assert codec.decode(TOPIC_OF_EVENT[type(event)], codec.encode(event)) == event
    assert events == settings_events(options, scenario)


def test_budgets_are_sized_by_what_the_traffic_will_cost() -> None:
    """So that in every run some thresholds are reached and some are not."""
    options = DemoOptions.of(minutes=5)
    scenario = scenario_of(options)
    cost = expected_cost(scenario)
    limits = {
        e.tenant: e.limit_nano_usd for e in settings_events(options, scenario) if isinstance(e, BudgetChanged)
    }
    shares = sorted(limits[tenant] / cost[tenant] for tenant in TENANTS)
    assert shares[0] < 0.7
    assert shares[-1] > 3.5


def test_a_lookout_remembers_the_first_sight_of_each_opening(tmp_path: Path) -> None:
    """Seeing the same version again changes nothing; closed breakers are no sight."""
    ticks: Iterator[int] = iter(range(100, 200))
    lookout = Lookout(lambda: next(ticks))
    opened = Breaker(provider="openai", model="m", version=1, state=BreakerState.OPEN, open_until_us=9)
    for breaker in (opened, opened, Breaker(provider="openai", model="m", version=2)):
        assert lookout.decode(breaker.to_json()) == breaker
    lookout.save(tmp_path / "sights.json")
    assert load(tmp_path / "sights.json") == {("openai/m", 1): 100}


async def test_positions_of_a_lost_subscription_are_forgotten() -> None:
    """What was pushed before is no longer what the view rests on, even if it settles later."""
    known = KnownPositions()
    known.changed(Change(Slot("health", 1), {"outcomes": 42}))
    known.lost()
    known._settle(Change(Slot("health", 1), {"outcomes": 42}), 0)
    assert not known.tokens
    known._settle(Change(Slot("health", 1), {"outcomes": 43}), 1)
    assert known.tokens == ("outcomes-1:43",)
