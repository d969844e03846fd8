"""The outcome of a backtest as JSON: the same log and policy give the same bytes. Times are RFC 3339, money is a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.rfc3339 import format_time_us, optional_time
from events.breaker_transitioned import BreakerTransitioned
from events.money import format_usd
from processors.backtest.calls import Changed, changed_calls
from processors.backtest.cost import Cost, CostKey
from processors.backtest.deployment import DeploymentRun, Listed
from processors.backtest.ledger import Overrun, Reached
from processors.backtest.outcome import Outcome
from processors.backtest.timeline import Admission, Span, total_us

Document = dict[str, Any]
MOST_SPANS = 1_000


def document(outcome: Outcome) -> Document:
    """All that was found."""
    return {
        "from": optional_time(outcome.begins_us or None),
        "to": format_time_us(outcome.ends_us),
        "read": {name: [held.start, held.end] for name, held in outcome.read.items()},
        "records": {
            "outcomes": outcome.counted.outcomes,
            "transitions": outcome.counted.transitions,
            "usage": outcome.counted.usage,
            "refused": outcome.counted.refused,
            "duplicates": outcome.counted.duplicates,
        },
        "changes_nothing": outcome.changes_nothing,
        "reproduced": _reproduced(outcome),
        "breakers": _breakers(outcome),
        "downtime": [
            {
                "model": one.model,
                "deployments": list(one.deployments),
                "recorded_s": seconds(one.recorded_us),
                "tried_s": seconds(one.tried_us),
                "recorded": _spans(one.recorded),
                "tried": _spans(one.tried),
            }
            for one in outcome.downtimes
        ],
        "budgets": _budgets(outcome),
        "costs": _costs(outcome.costs),
    }


def seconds(us: int) -> float:
    """Seconds with milliseconds."""
    return round(us / 1_000_000, 3)


def _reproduced(outcome: Outcome) -> Document:
    return {
        "is_exact": outcome.is_reproduced,
        "transitions": sum(run.not_reproduced.count for run in outcome.deployments.values()),
        "gaps": sum(run.gaps for run in outcome.deployments.values()),
        "alerts": len(outcome.not_reproduced_alerts),
        "listed": [
            transition(event) for run in outcome.deployments.values() for event in run.not_reproduced.kept
        ],
    }


def _breakers(outcome: Outcome) -> Document:
    runs = outcome.deployments.values()
    return {
        "same": sum(run.same for run in runs),
        "added": sum(run.added.count for run in runs),
        "removed": sum(run.removed.count for run in runs),
        "calls": _calls(changed_calls(runs)),
        "deployments": [
            _deployment(name, run, outcome.begins_us, outcome.ends_us)
            for name, run in outcome.deployments.items()
        ],
    }


def _deployment(name: str, run: DeploymentRun, begins_us: int, ends_us: int) -> Document:
    def blocked(side: Any) -> float:
        return seconds(total_us(side.timeline.spans(Admission.NONE, begins_us, ends_us)))

    return {
        "deployment": name,
        "same": run.same,
        "added": _listed(run.added),
        "removed": _listed(run.removed),
        "not_reproduced": run.not_reproduced.count,
        "open_recorded_s": blocked(run.recorded),
        "open_tried_s": blocked(run.decided),
        "calls": _calls(changed_calls([run])),
    }


def changes(outcome: Outcome) -> list[tuple[str, BreakerTransitioned]]:
    """All listed transitions that one side has and the other not, as ("added" or "removed", transition), by time."""
    found = [
        (sign, event)
        for run in outcome.deployments.values()
        for sign, listed in (("added", run.added), ("removed", run.removed))
        for event in listed.kept
    ]
    return sorted(found, key=lambda each: (each[1].occurred_at, each[1].deployment, each[1].version, each[0]))


def changed_cells(sign: str, event: BreakerTransitioned) -> tuple[str, str, str, str, str, str]:
    """A row of a table of them."""
    what = f"{event.from_state} → {event.to_state}"
    return sign, format_time_us(event.occurred_at), event.deployment, what, str(event.cause), event.reason


def _listed(listed: Listed) -> Document:
    return {"count": listed.count, "transitions": [transition(event) for event in listed.kept]}


def transition(event: BreakerTransitioned) -> Document:
    """A transition, with when and why."""
    return {
        "deployment": event.deployment,
        "at": format_time_us(event.occurred_at),
        "from": str(event.from_state),
        "to": str(event.to_state),
        "cause": str(event.cause),
        "reason": event.reason,
        "open_until": optional_time(event.open_until),
        "after": {
            "outcomes_offset": event.outcomes_offset,
            "run_index": event.run_index,
            "run_calls": event.run_calls,
        },
    }


def _calls(changed: Changed) -> Document:
    return {
        name: {"calls": counts.calls, "failed": counts.failed, "others": counts.calls - counts.failed}
        for name, counts in changed.named()
    }


def _spans(spans: Iterable[Span]) -> list[list[str]]:
    return [[format_time_us(start), format_time_us(end)] for start, end in list(spans)[:MOST_SPANS]]


def _budgets(outcome: Outcome) -> Document:
    alerts = outcome.alerts
    return {
        "alerts": {
            "same": alerts.same,
            "added": [_reached(one) for one in alerts.added],
            "removed": [_reached(one) for one in alerts.removed],
            "moved": [
                _reached(tried)
                | {
                    "recorded_at": format_time_us(again.at_us),
                    "later_by_s": seconds(tried.at_us - again.at_us),
                }
                for again, tried in alerts.moved
            ],
        },
        "overruns": {
            "recorded": [_overrun(one) for one in outcome.overruns_recorded],
            "tried": [_overrun(one) for one in outcome.overruns_tried],
        },
    }


def _reached(one: Reached) -> Document:
    return {
        "tenant": one.tenant,
        "budget_id": one.budget_id,
        "percent": one.percent,
        "period_start": format_time_us(one.period.start_us),
        "period_end": format_time_us(one.period.end_us),
        "at": format_time_us(one.at_us),
        "spent_usd": format_usd(one.spent_nano_usd),
        "limit_usd": format_usd(one.limit_nano_usd),
    }


def alert_rows(alerts: Document) -> list[tuple[str, str, str, str, str, str, str]]:
    """Rows of a table of those that differ: how, when, when it was, which budget, reached, spent and limit in US dollars."""
    found = [(sign, one) for sign in ("added", "removed") for one in alerts[sign]]
    found += [("earlier" if one["later_by_s"] < 0 else "later", one) for one in alerts["moved"]]
    return [
        (
            sign,
            one["at"],
            one.get("recorded_at", ""),
            f"{one['tenant']}/{one['budget_id']}",
            f"{one['percent']}%",
            one["spent_usd"],
            one["limit_usd"],
        )
        for sign, one in sorted(
            found, key=lambda each: (each[1]["at"], each[1]["tenant"], each[1]["percent"])
        )
    ]


def _overrun(one: Overrun) -> Document:
    over = one.spent_nano_usd - one.reached.limit_nano_usd
    return _reached(one.reached) | {
        "hard": one.is_hard,
        "spent_in_the_end_usd": format_usd(one.spent_nano_usd),
        "over_usd": format_usd(max(0, over)),
    }


def _costs(costs: Mapping[CostKey, Cost]) -> Document:
    return {
        "total": cost_row(summed(costs.values())),
        "by_tenant": _by(costs, ("tenant",), lambda key: (key[0],)),
        "by_provider": _by(costs, ("provider",), lambda key: (key[1],)),
        "by_model": _by(costs, ("provider", "model"), lambda key: key[1:]),
        "rows": _by(costs, ("tenant", "provider", "model"), lambda key: key),
    }


def summed(costs: Iterable[Cost]) -> Cost:
    """All of them together."""
    total = Cost()
    for cost in costs:
        total.add(cost)
    return total


def _by(costs: Mapping[CostKey, Cost], names: tuple[str, ...], of: Any) -> list[Document]:
    groups: dict[tuple[str, ...], Cost] = {}
    for key, cost in costs.items():
        groups.setdefault(of(key), Cost()).add(cost)
    return [dict(zip(names, key, strict=True)) | cost_row(cost) for key, cost in sorted(groups.items())]


def cost_row(cost: Cost) -> Document:
    """Calls, and what they cost on both sides."""
    return {
        "calls": cost.calls,
        "recorded_usd": format_usd(cost.recorded_nano_usd),
        "tried_usd": format_usd(cost.tried_nano_usd),
        "difference_usd": format_usd(cost.tried_nano_usd - cost.recorded_nano_usd),
        "unpriced_recorded": cost.unpriced_recorded,
        "unpriced_tried": cost.unpriced_tried,
    }
