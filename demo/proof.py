"""The proof: what was appended, what is on the log, what was folded, and whether all of it is equal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from demo.history import HistoryState
from demo.ledger import Books
from demo.live import LiveState
from demo.naive import DAY_US, Alert, NaiveFold, breaker_after, flaws, initial_breaker
from projections.live.budget import BudgetStatus

SHOWN_DIFFERENCES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One equation: what was compared, how many values, and where they differ (none: it holds)."""

    name: str
    compared: int
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether both sides are equal."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of one topic's events. `repeated`: records on the log that carry an id once more."""

    topic: str
    appended: int
    on_log: int
    repeated: int
    folded: int
    lost: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Proof:
    """All equations of a run."""

    flows: tuple[Flow, ...]
    checks: tuple[Check, ...]
    raised: tuple[Alert, ...] = ()
    """Alerts of budgets as they stand on the log."""

    @property
    def inequalities(self) -> list[str]:
        """Everything that is not as it has to be; empty when the proof holds."""
        return [f"{check.name}: {difference}" for check in self.checks for difference in check.differences]


def prove(books: Books, naive: NaiveFold, live: LiveState, history: HistoryState) -> Proof:
    """Compare the gateways' ledgers, the log folded by other code, the live state and the history."""
    flows = (_usage_flow(books, naive, live), _routing_flow(books, naive, live))
    timelines = {
        name: naive.timelines.get(name, []) for name in live.breakers.keys() | naive.timelines.keys()
    }
    live_tenants = _totals(live.spend, 0)
    raised = _raised(naive)
    checks = [
        _nothing("every event of the ledgers is acknowledged", books.unacknowledged),
        *(_ids(topic, claimed & books.acknowledged, naive.ids[topic]) for topic, claimed in _claims(books)),
        *(_nothing_but_zero(flow) for flow in flows),
        compare("spend by tenant, ledgers = log", books.spend_by_tenant(), naive.spend_by_tenant),
        compare("spend by tenant, ledgers = live", books.spend_by_tenant(), live_tenants),
        compare("spend by tenant, node and quarter hour, log = live", naive.spend, live.spend),
        compare("outcomes by deployment and kind, log = live health", naive.outcomes, live.outcomes),
        compare("outcomes by deployment and kind, usage = outcomes topic", naive.outcomes, naive.observed),
        compare("decisions by tenant and deployment, log = live", naive.routed, live.routed),
        compare(
            "breakers, log = live",
            {name: breaker_after(timeline) for name, timeline in timelines.items()},
            {name: live.breakers.get(name, initial_breaker()) for name in timelines},
        ),
        _nothing(
            "breaker timelines have no gap",
            {f"{name}: {flaw}" for name, timeline in timelines.items() for flaw in flaws(timeline)},
        ),
        compare("alerts that were due = alerts on the log", naive.due_alerts, raised),
        compare(
            "budgets' spending, log = live",
            {(tenant, held.budget.budget_id): _spent(naive, tenant, held) for tenant, held in live.budgets},
            {(tenant, held.budget.budget_id): held.spent.cost_nano_usd for tenant, held in live.budgets},
        ),
        compare(
            "history, rows = events on the log",
            {topic: len(ids) for topic, ids in naive.ids.items()},
            history.rows,
        ),
        compare("history, calls by tenant, ledgers = rollups", _calls(books), history.calls),
        compare("history, spend by tenant, ledgers = rollups", books.spend_by_tenant(), history.spend),
        compare("dead letters", {"records": 0}, {"records": naive.records["dead-letters"]}),
    ]
    return Proof(flows, tuple(checks), tuple(raised.elements()))


def compare(name: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> Check:
    """Both have the same keys with the same values."""
    different = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
    shown = sorted(different, key=str)[:SHOWN_DIFFERENCES]
    lines = [f"{_text(key)}: {left.get(key)} is not {right.get(key)}" for key in shown]
    if len(different) > len(shown):
        lines.append(f"and {len(different) - len(shown)} more")
    return Check(name, len(left.keys() | right.keys()), tuple(lines))


def _text(key: Hashable) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _nothing(name: str, found: set[str]) -> Check:
    shown = sorted(found)[:SHOWN_DIFFERENCES]
    if len(found) > len(shown):
        shown.append(f"and {len(found) - len(shown)} more")
    return Check(name, len(found), tuple(shown))


def _claims(books: Books) -> tuple[tuple[str, set[str]], ...]:
    return ("usage", set(books.usage)), ("routing", set(books.routing))


def _ids(topic: str, claimed: set[str], found: set[str]) -> Check:
    name = f"{topic} events, ledgers = log"
    differences = [
        f"{len(ids)} {what}, for example {min(ids)}"
        for what, ids in (
            ("are not on the log", claimed - found),
            ("are in no ledger", found - claimed),
        )
        if ids
    ]
    return Check(name, len(claimed | found), tuple(differences))


def _nothing_but_zero(flow: Flow) -> Check:
    wrong = {f"{count} {what}" for what, count in (("lost", flow.lost), ("doubled", flow.doubled)) if count}
    check = _nothing(f"{flow.topic} events, nothing lost or doubled", wrong)
    return Check(check.name, flow.appended, check.differences)


def _usage_flow(books: Books, naive: NaiveFold, live: LiveState) -> Flow:
    return _flow("usage", _calls(books), _totals(live.spend, 1), naive)


def _routing_flow(books: Books, naive: NaiveFold, live: LiveState) -> Flow:
    claimed = Counter((e.tenant, e.deployment) for i, e in books.routing.items() if i in books.acknowledged)
    return _flow("routing", claimed, live.routed, naive)


def _calls(books: Books) -> Counter[str]:
    return Counter(event.tenant for id_, event in books.usage.items() if id_ in books.acknowledged)


def _flow(topic: str, claimed: Mapping[Any, int], folded: Mapping[Any, int], naive: NaiveFold) -> Flow:
    """Lost and doubled are counted by key, so that one cannot hide the other."""
    keys = claimed.keys() | folded.keys()
    surplus = [folded.get(key, 0) - claimed.get(key, 0) for key in keys]
    return Flow(
        topic,
        appended=sum(claimed.values()),
        on_log=naive.records[topic],
        repeated=naive.doubles[topic],
        folded=sum(folded.values()),
        lost=-sum(min(0, more) for more in surplus),
        doubled=sum(max(0, more) for more in surplus),
    )


def _totals(spend: Mapping[tuple[str, str, int], tuple[int, ...]], index: int) -> dict[str, int]:
    """One of the sums of each tenant as a whole."""
    totals: dict[str, int] = {}
    for (tenant, node, _), sums in spend.items():
        if node == "tenant":
            totals[tenant] = totals.get(tenant, 0) + sums[index]
    return totals


def _raised(naive: NaiveFold) -> Counter[Alert]:
    return Counter(
        Alert(
            tenant=alert["tenant"],
            budget_id=alert["subject"].removeprefix(f"{alert['tenant']}/"),
            percent=alert["threshold_percent"],
            day=alert["period_start"] // DAY_US,
        )
        for alert in naive.alerts
        if alert["kind"] == "BUDGET_THRESHOLD"
    )


def _spent(naive: NaiveFold, tenant: str, held: BudgetStatus) -> int:
    quarters = held.period.quarters
    return sum(
        sums[0]
        for (whose, node, quarter), sums in naive.spend.items()
        if whose == tenant and node == held.budget.node and quarter in quarters
    )
