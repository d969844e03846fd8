"""How budgets stood at an instant: their changes and the usage that were on the log by then, folded as the log is.

The log's time decides (`appended_at`), so the answer is what a read would have said at that instant, late calls left out.
"""

from __future__ import annotations

from events.budget_changed import BudgetChanged, BudgetLevel
from events.catalogue import TOPICS
from projections.history.queries.as_of import event_of
from projections.history.queries.page import COLUMNS
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader
from projections.live.budget import Budget, Budgets, BudgetStatus, days_needed, evolve, status
from projections.live.node import Node
from projections.live.period import QUARTER_US, period_of
from projections.live.spend import QUARTERS_PER_DAY, Row, SpendDay

_BUDGETS = TOPICS["budgets"]
_SUBJECT_COLUMN = {
    BudgetLevel.ORG: "org",
    BudgetLevel.TEAM: "team",
    BudgetLevel.USER: "user",
    BudgetLevel.KEY: "api_key",
}


async def budgets_as_of(history: HistoryReader, at_us: int, tenant: str | None = None) -> dict[str, Budgets]:
    """Budgets by tenant; of all tenants, or of one."""
    question = Question()
    question.conditions.append(f"appended_at <= {question.bind(at_us)}")
    if tenant is not None:
        question.equal({"tenant": tenant})
    rows = await history.rows(
        f"select {listed(COLUMNS['budgets'])} from budgets {question.where} "
        "order by tenant, appended_at, log_partition, log_offset",
        question.arguments,
    )
    found: dict[str, Budgets] = {}
    for row in rows:
        event = event_of(_BUDGETS, row)
        assert isinstance(event, BudgetChanged)
        found[event.tenant] = evolve(found.get(event.tenant, Budgets(event.tenant)), event)
    return found


async def status_as_of(history: HistoryReader, tenant: str, budget: Budget, at_us: int) -> BudgetStatus:
    """How the budget stood in the period of the instant, from the rows of its calls."""
    days = sorted(set(days_needed(budget, period_of(budget, at_us))))
    spent = await _spent(history, tenant, Node.parse(budget.node), days, at_us)

    def spend_of(node: str, day: int) -> SpendDay | None:
        return spent.get(day) if node == budget.node else None

    return status(budget, at_us, spend_of)


async def _spent(
    history: HistoryReader, tenant: str, node: Node, days: list[int], at_us: int
) -> dict[int, SpendDay]:
    """What calls of a node cost, by UTC day and quarter hour of it."""
    question = Question()
    question.equal({"tenant": tenant})
    if node.subject is not None:
        question.equal({_SUBJECT_COLUMN[node.level]: node.subject})
    if node.provider is not None:
        question.equal({"provider": node.provider})
    if node.model is not None:
        question.equal({"model": node.model})
    day_us = QUARTERS_PER_DAY * QUARTER_US
    question.between("occurred_at", days[0] * day_us, (days[-1] + 1) * day_us)
    question.conditions.append(f"appended_at <= {question.bind(at_us)}")
    rows = await history.rows(
        "select floor(extract(epoch from occurred_at) / 900)::bigint as quarter, "
        "coalesce(sum(cost_nano_usd), 0) as cost, count(*) as calls, sum(input_tokens) as input_tokens, "
        "sum(output_tokens) as output_tokens, count(*) filter (where cost_nano_usd is null) as unpriced "
        f"from usage {question.where} group by 1 order by 1",
        question.arguments,
    )
    by_day: dict[int, list[Row]] = {}
    for row in rows:
        day, quarter = divmod(row["quarter"], QUARTERS_PER_DAY)
        cost, calls, unpriced = row["cost"], row["calls"], row["unpriced"]
        by_day.setdefault(day, []).append(
            (quarter, cost, calls, row["input_tokens"], row["output_tokens"], unpriced)
        )
    return {day: SpendDay(day, tuple(found)) for day, found in by_day.items()}
