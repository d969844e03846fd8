"""Operators and their probers: checks, overrides, settings, budgets, and corrections of what calls cost."""

from __future__ import annotations

from random import Random

from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.budget_changed import BudgetChange, BudgetChanged, BudgetLevel, BudgetPeriod
from events.provider_changed import BreakerPolicy, ProviderChange, ProviderChanged, WindowKind
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from tests.simulation.plan import Deployment, Plan
from tests.simulation.sender import Sender
from tests.simulation.virtual_time import now_us


class Operators(Sender):
    """All of them; they know which version they set last."""

    def __init__(self, plan: Plan, random: Random) -> None:
        super().__init__(plan, random)
        self._versions: dict[str, int] = {}

    def check(self, deployment: Deployment) -> ProviderHealthChecked:
        """A probe of a deployment, or of its whole provider."""
        provider, model, region = deployment
        whole = self._random.random() < 0.3
        return ProviderHealthChecked(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=self._occurred_at(),
            tenant="",
            provider=provider,
            model=None if whole else model,
            region=None if whole else region,
            status=self._random.choice(list(HealthStatus)),
            latency_ms=self._random.choice((None, 0.5, 120.25, 70_000.0)),
            status_code=self._random.choice((None, 200, 503)),
            error=self._random.choice((None, "down")),
        )

    def override(self, deployment: Deployment) -> BreakerOverridden:
        """An override of a deployment or its provider, or the end of one."""
        provider, model, region = deployment
        whole = self._random.random() < 0.4
        lasts_us = self._random.choice((None, 5_000_000, 60_000_000, -1))
        return BreakerOverridden(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant="",
            provider=provider,
            model=None if whole else model,
            region=None if whole else region,
            mode=self._random.choice([*OverrideMode, OverrideMode.NONE, OverrideMode.NONE]),
            actor=self._random.choice(("ann", "bob")),
            reason="drill",
            expires_at=None if lasts_us is None else now_us() + lasts_us,
        )

    def provider(self, provider: str) -> ProviderChanged:
        """Settings of a provider, or their removal."""
        random = self._random
        return ProviderChanged(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant="",
            provider=provider,
            change=ProviderChange.REMOVED if random.random() < 0.1 else ProviderChange.SET,
            version=self._version(provider),
            breaker_policy=random.choice((None, self._policy())),
            deployment_policies={f"{provider}/gpt-4o": self._policy()} if random.random() < 0.3 else {},
            actor="ann",
        )

    def budget(self, tenant: str, budget_id: str) -> BudgetChanged:
        """A budget of any kind; `steady` ones are set once, `changing` ones removed now and then."""
        random = self._random
        period = random.choice(list(BudgetPeriod))
        level = random.choice((BudgetLevel.TENANT, BudgetLevel.TENANT, BudgetLevel.TEAM))
        provider = random.choice((None, "openai"))
        removed = budget_id.startswith("changing") and random.random() < 0.15
        return BudgetChanged(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant=tenant,
            budget_id=budget_id,
            change=BudgetChange.REMOVED if removed else BudgetChange.SET,
            version=self._version(f"{tenant}/{budget_id}"),
            level=level,
            subject=None if level is BudgetLevel.TENANT else "search",
            provider=provider,
            model="gpt-4o" if provider and random.random() < 0.5 else None,
            period=period,
            rolling_hours=random.choice((1, 24)) if period is BudgetPeriod.ROLLING else None,
            zone=random.choice(("UTC", "Europe/Berlin", "Asia/Kathmandu")),
            limit_nano_usd=random.choice((0, 10**9, 20 * 10**9, 10**13)),
            soft_limits_percent=random.choice(((50, 80, 100), (1,), ())),
            rollover_cap_nano_usd=random.choice((0, 0, 5 * 10**9)),
            actor="ann",
        )

    def adjustment(self, call: UsageRecorded) -> SpendAdjusted:
        """What a call costs after all: as much as before or more."""
        before = self._random.choice((call.cost_nano_usd, None))
        after = (before or 0) + self._random.choice((0, 1, 10**9))
        return SpendAdjusted(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant=call.tenant,
            usage_id=call.event_id,
            usage_occurred_at=call.occurred_at,
            provider=call.provider,
            model=call.model,
            region=call.region,
            org=call.org,
            team=call.team,
            user=call.user,
            api_key=call.api_key,
            outcome=call.outcome,
            cost_before_nano_usd=before,
            cost_after_nano_usd=after,
            price_version="other",
            actor="ops",
        )

    def _policy(self) -> BreakerPolicy:
        random = self._random
        return BreakerPolicy(
            window=random.choice(list(WindowKind)),
            window_s=random.choice((1, 5, 60, 300)),
            window_calls=random.choice((1, 5, 100)),
            minimum_calls=random.choice((1, 3, 10)),
            failure_rate=random.choice((0.1, 0.5, 0.7, 1.0)),
            consecutive_failures=random.choice((1, 2, 5, 1000)),
            slow_call_s=random.choice((1, 60)),
            slow_rate=random.choice((0.2, 0.9, 1.0)),
            open_for_s=random.choice((1, 5, 30)),
            open_for_cap_s=random.choice((10, 60, 300)),
            half_open_permits=random.choice((1, 3)),
            half_open_max_wait_s=random.choice((2, 60)),
        )

    def _version(self, name: str) -> int:
        """Mostly the next; sometimes one that was there before."""
        last = self._versions.get(name, 0)
        self._versions[name] = version = last + self._random.choice((1, 1, 1, 1, 2, 0)) or 1
        return version
