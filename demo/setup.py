"""What operators set before the traffic: providers with their priorities, and a daily budget for each tenant. Pure."""

from __future__ import annotations

from collections import Counter

from demo.chance import chance
from demo.fleet import PRIORITIES, TENANTS, TIERS, models_of
from demo.options import DemoOptions
from demo.scenario import Scenario
from events.budget_changed import BudgetChanged, BudgetLevel, BudgetPeriod
from events.envelope import Event
from events.ids import uuid7
from events.pricing import price_call
from events.provider_changed import ProviderChanged

SOURCE = "demo"
ACTOR = "operator@example.com"
CENT = 10_000_000

_SHARES_PERCENT = (90, 140, 60, 400)
"""Limits as shares of what a tenant's traffic would cost at its first choices: some are reached, some are not."""


def settings_events(options: DemoOptions, scenario: Scenario) -> list[Event]:
    """Events to append before the first request; they happened a minute before it."""
    at_us = options.at_us - 60_000_000
    draw = chance(options.seed, "settings")
    expected = expected_cost(scenario)

    def event_id() -> str:
        return uuid7(at_us, draw.randbytes(10))

    providers = [
        ProviderChanged(
            event_id=event_id(),
            occurred_at=at_us,
            source=SOURCE,
            tenant="",
            provider=provider,
            version=1,
            models=models_of(provider),
            priority=priority,
            actor=ACTOR,
        )
        for provider, priority in PRIORITIES.items()
    ]
    budgets = [
        BudgetChanged(
            event_id=event_id(),
            occurred_at=at_us,
            source=SOURCE,
            tenant=tenant,
            budget_id="daily",
            version=1,
            level=BudgetLevel.TENANT,
            period=BudgetPeriod.DAY,
            limit_nano_usd=max(CENT, expected[tenant] * share // 100 // CENT * CENT),
            hard=False,
            actor=ACTOR,
        )
        for tenant, share in zip(TENANTS, _SHARES_PERCENT, strict=True)
    ]
    return [*providers, *budgets]


def expected_cost(scenario: Scenario) -> Counter[str]:
    """Nano-USD by tenant, were every request served by the first deployment of its tier."""
    cost: Counter[str] = Counter()
    for request in scenario.requests:
        first = TIERS[request.tier][0]
        cost[request.tenant] += (
            price_call(
                first.provider,
                first.model,
                request.at_us,
                input_tokens=request.input_tokens,
                output_tokens=request.output_tokens,
            )
            or 0
        )
    return cost
