"""How far each budget is from its next alert: while what is charged stays below that, no period need be summed up again.

Exact, because it only ever says "surely not": corrections that give money back are left out of account.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from events.budget_changed import BudgetPeriod
from projections.live.budget import Budget, Budgets, BudgetStatus, status_in
from projections.live.period import QUARTER_US, period_of
from projections.live.spend import QUARTERS_PER_DAY, Charges, SpendOf, spend_id

MOST_ROOMS = 100_000


@dataclass(slots=True)
class _Room:
    """What may still be charged to a budget in one period without an alert; None when none is left to raise."""

    budget: Budget
    quarters: range
    left_nano_usd: int | None


class Headroom:
    """Of one slot's budgets, kept from batch to batch. Rolling budgets and those that roll over are always near."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, str], _Room] = {}

    def near(self, budgets: Budgets, touched: Mapping[str, Collection[int]], charges: Charges) -> Budgets:
        """The budgets that these charges may bring to an alert; `touched` is by node, see projections.live.spend."""
        kept = {
            budget_id: budget
            for budget_id, budget in budgets.budgets.items()
            if budget.node in touched
            and self._may_alert(budgets.tenant, budget, touched[budget.node], charges)
        }
        return replace(budgets, budgets=kept)

    def measure(self, budgets: Budgets, touched: Mapping[str, Collection[int]], spend_of: SpendOf) -> None:
        """Note how far these are now from their next alerts, all due ones being raised."""
        if len(self._rooms) > MOST_ROOMS:
            self._rooms.clear()
        for budget_id, budget in budgets.budgets.items():
            if budget.period is BudgetPeriod.ROLLING or budget.rolls_over:
                continue
            latest = max(touched[budget.node])
            status = status_in(budget, period_of(budget, latest * QUARTER_US), spend_of)
            self._rooms[budgets.tenant, budget_id] = _Room(budget, status.period.quarters, _left(status))

    def _may_alert(self, tenant: str, budget: Budget, quarters: Collection[int], charges: Charges) -> bool:
        room = self._rooms.get((tenant, budget.budget_id))
        if room is None or room.budget is not budget or any(each not in room.quarters for each in quarters):
            return True
        if room.left_nano_usd is None:
            return False
        for each in quarters:
            day, quarter = divmod(each, QUARTERS_PER_DAY)
            room.left_nano_usd -= max(0, charges[spend_id(tenant, budget.node, day)][quarter][0])
        return room.left_nano_usd <= 0


def _left(status: BudgetStatus) -> int | None:
    """How much more reaches the next soft limit, as `judge` has it."""
    costs = (
        max(1, -(-percent * status.limit_nano_usd // 100))
        for percent in status.budget.soft_limits_percent
        if percent not in status.reached_percent
    )
    return min((cost - status.spent.cost_nano_usd for cost in costs), default=None)
