"""How budgets stood at an instant: their changes, the usage and its adjustments that were on the log by then, folded as the log is.

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
from projections.live.spend import QUARTERS_PER_DAY, SpendDay, Spent

_BUDGETS = TOPICS["budgets"]
_SUBJECT_COLUMN = {
    BudgetLevel.ORG: "org",
    BudgetLevel.TEAM: "team",
    BudgetLevel.USER: "user",
    BudgetLevel.KEY: "api_key",
}

_CALLED_AT = "occurred_at"
_CALLS = (
    "select floor(extract(epoch from occurred_at) / 900)::bigint as quarter, "
    "coalesce(sum(cost_nano_usd), 0) as cost_nano_usd, count(*) as calls, sum(input_tokens) as input_tokens, "
    "sum(output_tokens) as output_tokens, count(*) filter (where cost_nano_usd is null) as unpriced_calls "
    "from usage {where} group by 1 order by 1"
)
_ADJUSTED_AT = "usage_occurred_at"
_ADJUSTMENTS = (
    "select usage_occurred_at / 900000000 as quarter, "
    "sum(cost_after_nano_usd::numeric - coalesce(cost_before_nano_usd, 0)) as cost_nano_usd, 0 as calls, "
    "0 as input_tokens, 0 as output_tokens, -count(*) filter (where cost_before_nano_usd is null) as unpriced_calls "
    "from adjustments {where} group by 1 order by 1"
)


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
    """What calls of a node cost, adjustments included, by UTC day and quarter hour of it."""
    by_day: dict[int, SpendDay] = {}
    for time, sql in ((_CALLED_AT, _CALLS), (_ADJUSTED_AT, _ADJUSTMENTS)):
        question = _charged(tenant, node, time, days, at_us)
        for row in await history.rows(sql.format(where=question.where), question.arguments):
            day, quarter = divmod(row["quarter"], QUARTERS_PER_DAY)
            sums = [row[name] for name in Spent._fields]
            by_day[day] = by_day.get(day, SpendDay(day)).plus({quarter: sums})
    return by_day


def _charged(tenant: str, node: Node, time: str, days: list[int], at_us: int) -> Question:
    """Which rows count: charged to the node on these days, and on the log by then."""
    question = Question()
    question.equal({"tenant": tenant})
    if node.subject is not None:
        question.equal({_SUBJECT_COLUMN[node.level]: node.subject})
    if node.provider is not None:
        question.equal({"provider": node.provider})
    if node.model is not None:
        question.equal({"model": node.model})
    day_us = QUARTERS_PER_DAY * QUARTER_US
    question.between(time, days[0] * day_us, (days[-1] + 1) * day_us)
    question.conditions.append(f"appended_at <= {question.bind(at_us)}")
    return question
