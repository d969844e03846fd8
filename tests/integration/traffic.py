"""Events as gateways, probers and operators append them, all at the present moment; and a steady stream of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.budget_changed import BudgetChanged, BudgetPeriod
from events.envelope import Event, OutcomeKind
from events.errors import EventsError
from events.ids import uuid7
from events.provider_changed import BreakerPolicy, ProviderChanged
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.routing_decided import Candidate, RoutingDecided
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from tests.integration.live_server import until
from tests.integration.rig import Rig

TENANTS = ("acme", "globex", "initech", "umbrella")
DEPLOYMENTS = (("openai", "gpt-4o"), ("anthropic", "claude"), ("mistral", "large"), ("google", "gemini"))


def now_us() -> int:
    """By this machine's clock."""
    return time.time_ns() // 1000


def envelope() -> dict[str, Any]:
    """A new id, now, from a test."""
    at_us = now_us()
    return {"event_id": uuid7(at_us, os.urandom(10)), "occurred_at": at_us, "source": "test"}


def usage(tenant: str, provider: str = "openai", model: str = "gpt-4o", **more: Any) -> UsageRecorded:
    """One call that went well unless `outcome` says otherwise."""
    values: dict[str, Any] = {
        **envelope(),
        "tenant": tenant,
        "request_id": "r",
        "provider": provider,
        "model": model,
        "team": "search",
        "user": "ann",
        "outcome": OutcomeKind.SUCCESS,
        "input_tokens": 1000,
        "output_tokens": 100,
        "latency_ms": 400,
        "cost_nano_usd": 3_500_001,
    }
    return UsageRecorded(**values | more)


def failed(tenant: str, provider: str, model: str, **more: Any) -> UsageRecorded:
    """One call that the provider failed."""
    return usage(
        tenant,
        provider,
        model,
        **{"outcome": OutcomeKind.SERVER_ERROR, "cost_nano_usd": 0, "error": "503", **more},
    )


def checked(
    provider: str, model: str | None, status: HealthStatus = HealthStatus.HEALTHY
) -> ProviderHealthChecked:
    """One health check."""
    return ProviderHealthChecked(
        **envelope(), tenant="", provider=provider, model=model, status=status, latency_ms=12.5
    )


def overridden(provider: str, model: str | None, mode: OverrideMode) -> BreakerOverridden:
    """An operator's word about one deployment, or all of a provider."""
    return BreakerOverridden(
        **envelope(), tenant="", provider=provider, model=model, mode=mode, actor="ops", reason="drill"
    )


def changed(provider: str, policy: BreakerPolicy | None, version: int = 1) -> ProviderChanged:
    """A provider's settings."""
    return ProviderChanged(
        **envelope(), tenant="", provider=provider, version=version, breaker_policy=policy, actor="ops"
    )


def adjusted(call: UsageRecorded, cost_nano_usd: int) -> SpendAdjusted:
    """A call's cost corrected."""
    return SpendAdjusted(
        **envelope(),
        tenant=call.tenant,
        usage_id=call.event_id,
        usage_occurred_at=call.occurred_at,
        provider=call.provider,
        model=call.model,
        team=call.team,
        user=call.user,
        outcome=call.outcome,
        cost_before_nano_usd=call.cost_nano_usd,
        cost_after_nano_usd=cost_nano_usd,
        price_version="test",
        actor="ops",
    )


def budget(tenant: str, limit_nano_usd: int, name: str = "steady") -> BudgetChanged:
    """A tenant's budget for a year. The proofs know alerts of `steady` ones: set before all usage, never changed."""
    return BudgetChanged(
        **envelope(),
        tenant=tenant,
        budget_id=name,
        version=1,
        period=BudgetPeriod.YEAR,
        limit_nano_usd=limit_nano_usd,
        actor="ops",
    )


def routed(tenant: str, provider: str, model: str) -> RoutingDecided:
    """A gateway's decision."""
    name = f"{provider}/{model}"
    return RoutingDecided(
        **envelope(),
        tenant=tenant,
        request_id="r",
        provider=provider,
        model=model,
        strategy="priority",
        candidates=(Candidate(deployment=name, breaker_state="CLOSED", verdict="chosen"),),
    )


@dataclass
class Traffic:
    """A gateway that appends a little of everything and tries again, with the same ids, until it is acknowledged."""

    rig: Rig
    random: Random = field(default_factory=lambda: Random(7))
    acknowledged: int = 0
    """Usage events that the log has for certain."""

    refused: int = 0
    """Appends that the log did not acknowledge in time."""

    def some(self, count: int) -> list[Event]:
        """Calls of which the first provider fails many, with the odd check, decision and repetition among them."""
        random = self.random
        events: list[Event] = []
        for _ in range(count):
            tenant = random.choice(TENANTS)
            provider, model = random.choice(DEPLOYMENTS)
            bad = random.random() < (0.6 if provider == "openai" else 0.02)
            events.append(failed(tenant, provider, model) if bad else usage(tenant, provider, model))
            if random.random() < 0.1:
                events.append(checked(provider, random.choice((model, None))))
            if random.random() < 0.1:
                events.append(routed(tenant, provider, model))
            if random.random() < 0.05:
                events.append(random.choice(events))
        return events

    async def append(self, events: list[Event]) -> None:
        """Until all are acknowledged."""
        while True:
            try:
                await self.rig.append(*events)
            except EventsError:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            self.acknowledged += sum(isinstance(event, UsageRecorded) for event in events)
            return

    async def flown(self, events: int = 60) -> None:
        """Return when so many more usage events were acknowledged."""
        wanted = self.acknowledged + events
        await until(lambda: self.acknowledged >= wanted)

    async def flow(self) -> None:
        """On and on."""
        while True:
            await self.append(self.some(10))
            await asyncio.sleep(0.03)


@asynccontextmanager
async def traffic(rig: Rig) -> AsyncIterator[Traffic]:
    """Traffic that flows meanwhile, and whose last append has been acknowledged at the end."""
    gateway = Traffic(rig)
    flowing = asyncio.create_task(gateway.flow())
    try:
        yield gateway
    finally:
        flowing.cancel()
        await asyncio.wait([flowing])
    await gateway.append(gateway.some(20))
