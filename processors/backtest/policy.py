"""What a backtest decides by instead of what was in force: breaker policies, budgets and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from events.budget_changed import BudgetChanged
from processors.backtest.prices import Prices
from projections.live.provider import PolicyInForce, ProviderSettings


@dataclass(frozen=True, slots=True)
class TriedPolicy:
    """What is tried. A provider or budget that is not named stays as recorded.

    `providers`: settings that hold in the place of all that the log says of that provider. `budgets`: the same of single
    budgets, set or removed; their times count for nothing.
    """

    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    budgets: tuple[BudgetChanged, ...] = ()
    prices: Prices | None = None

    def breaker_policy(self, provider: str, deployment: str, recorded: PolicyInForce) -> PolicyInForce:
        """The policy of a deployment, where the recorded one was in force."""
        tried = self.providers.get(provider)
        if tried is None:
            return recorded
        return PolicyInForce(tried.policy_for(deployment).policy, recorded.version)
