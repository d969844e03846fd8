"""The kinds of live states that the API reads, and how long its cache may keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from projections.live.breaker import Breaker
from projections.live.budget import Budgets
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth
from projections.live.kind import Kind
from projections.live.override import StandingOverride
from projections.live.provider import ProviderSettings
from projections.live.routing import Routing
from projections.live.spend import SpendDay
from projections.live.window import Window
from projections.settings import CacheTtls


@dataclass(frozen=True, slots=True)
class Kinds:
    """Each with its time to live from the settings."""

    breaker: Kind[Breaker]
    window: Kind[Window]
    provider: Kind[ProviderSettings]
    override: Kind[StandingOverride]
    health: Kind[DeploymentHealth]
    check: Kind[CheckHealth]
    routing: Kind[Routing]
    budgets: Kind[Budgets]
    spend: Kind[SpendDay]

    @classmethod
    def of(cls, ttls: CacheTtls) -> Self:
        """The kinds with these times to live."""
        return cls(
            breaker=Kind("breaker", Breaker.from_json, ttls.breaker_s),
            window=Kind("window", Window.from_json, ttls.breaker_s),
            provider=Kind("provider", ProviderSettings.from_json, ttls.health_s),
            override=Kind("override", StandingOverride.from_json, ttls.breaker_s),
            health=Kind("health", DeploymentHealth.from_json, ttls.health_s),
            check=Kind("check", CheckHealth.from_json, ttls.health_s),
            routing=Kind("routing", Routing.from_json, ttls.routing_s),
            budgets=Kind("budgets", Budgets.from_json, ttls.cost_s),
            spend=Kind("spend", SpendDay.from_json, ttls.cost_s),
        )
