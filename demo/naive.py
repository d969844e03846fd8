"""What the log says, folded a second time: dicts, loops and no cleverness. Pure.

Imports nothing of the product on purpose: this is the other side of the equation, so it may not share its mistakes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.naive_log import Kept

QUARTER_HOUR_US = 900_000_000
DAY_US = 86_400_000_000

SpendKey = tuple[str, str, int]
"""Tenant, spend node, number of the quarter hour since the epoch."""

Sums = tuple[int, int, int, int, int]
"""cost_nano_usd, calls, input_tokens, output_tokens, unpriced calls."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of a budget: which threshold of which budget's day was reached."""

    tenant: str
    budget_id: str
    percent: int
    day: int


@dataclass(slots=True)
class NaiveFold:
    """All that the log comes to. `records` and `doubles` count by topic; the rest counts each event id once."""

    records: dict[str, int] = field(default_factory=dict)
    doubles: dict[str, int] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    spend: dict[SpendKey, Sums] = field(default_factory=dict)
    spend_by_tenant: dict[str, int] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    observed: dict[tuple[str, str], int] = field(default_factory=dict)
    routed: dict[tuple[str, str], int] = field(default_factory=dict)
    timelines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    due_alerts: Counter[Alert] = field(default_factory=Counter)


def fold(log: Mapping[str, Sequence[Kept]]) -> NaiveFold:
    """Fold the log, by short topic name."""
    once = {topic: _once(records) for topic, records in log.items()}
    result = NaiveFold(
        records={topic: len(records) for topic, records in log.items()},
        doubles={topic: len(records) - len(once[topic]) for topic, records in log.items()},
        ids={topic: {record.value["event_id"] for record in records} for topic, records in once.items()},
    )
    _fold_usage(result, once["usage"])
    for record in once["routing"]:
        value = record.value
        key = (value["tenant"], f"{value['provider']}/{value['model']}" if value["provider"] else "")
        result.routed[key] = result.routed.get(key, 0) + 1
    _fold_outcomes(result, log["outcomes"])
    for record in once["breakers"]:
        result.timelines.setdefault(deployment_of(record.value), []).append(record.value)
    result.alerts = [record.value for record in once["alerts"]]
    result.due_alerts = due_alerts([record.value for record in once["budgets"]], result.spend)
    return result


def _once(records: Sequence[Kept]) -> list[Kept]:
    first: dict[str, Kept] = {}
    for record in records:
        first.setdefault(record.value["event_id"], record)
    return list(first.values())


def _fold_outcomes(result: NaiveFold, records: Sequence[Kept]) -> None:
    """Each call of a deployment once, by its offset in the source: two workers may tell of the same ones."""
    told: set[tuple[Any, ...]] = set()
    for record in records:
        value = record.value
        source = (value["source_topic"], value["source_partition"])
        for run in value["runs"]:
            starts = range(0, len(run["calls"]), 8)
            places = [int.from_bytes(run["calls"][at : at + 4], "little") for at in starts] or [0]
            calls = {(*source, value["source_start"] + place) for place in places}
            key = (deployment_of(value), run["kind"])
            result.observed[key] = result.observed.get(key, 0) + len(calls - told)
            told |= calls


def _fold_usage(result: NaiveFold, records: Sequence[Kept]) -> None:
    spend: defaultdict[SpendKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for record in records:
        usage = record.value
        cost = usage["cost_nano_usd"]
        amounts = (cost or 0, 1, usage["input_tokens"], usage["output_tokens"], int(cost is None))
        quarter = usage["occurred_at"] // QUARTER_HOUR_US
        for node in nodes_of(usage):
            sums = spend[usage["tenant"], node, quarter]
            for index, amount in enumerate(amounts):
                sums[index] += amount
        result.spend_by_tenant[usage["tenant"]] = result.spend_by_tenant.get(usage["tenant"], 0) + (cost or 0)
        place = (deployment_of(usage), usage["outcome"])
        result.outcomes[place] = result.outcomes.get(place, 0) + 1
    result.spend = {key: (s[0], s[1], s[2], s[3], s[4]) for key, s in spend.items()}


def deployment_of(value: Mapping[str, Any]) -> str:
    """`provider/model[@region]` of an event."""
    region = f"@{value['region']}" if value["region"] else ""
    return f"{value['provider']}/{value['model']}{region}"


def nodes_of(usage: Mapping[str, Any]) -> list[str]:
    """Names of the nodes that a call is charged to: every level that covers it, whole and by provider and model."""
    heads = ["tenant"]
    for word, name in (("org", "org"), ("team", "team"), ("user", "user"), ("key", "api_key")):
        if usage[name]:
            heads.append(f"{word}={_escaped(usage[name])}")
    provider = f";provider={_escaped(usage['provider'])}"
    model = f";model={_escaped(usage['model'])}"
    return [head + tail for head in heads for tail in ("", provider, provider + model)]


def _escaped(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def due_alerts(budgets: Sequence[Mapping[str, Any]], spend: Mapping[SpendKey, Sums]) -> Counter[Alert]:
    """The alerts that should have been raised, one each. The demo's budgets are daily, in UTC, with one version."""
    due: Counter[Alert] = Counter()
    for budget in budgets:
        by_day: Counter[int] = Counter()
        for (tenant, node, quarter), sums in spend.items():
            if tenant == budget["tenant"] and node == budget_node(budget):
                by_day[quarter * QUARTER_HOUR_US // DAY_US] += sums[0]
        for day, cost in by_day.items():
            for percent in budget["soft_limits_percent"]:
                if cost > 0 and cost * 100 >= percent * budget["limit_nano_usd"]:
                    due[
                        Alert(
                            tenant=budget["tenant"], budget_id=budget["budget_id"], percent=percent, day=day
                        )
                    ] += 1
    return due


def budget_node(budget: Mapping[str, Any]) -> str:
    """The node whose spending a budget limits."""
    level = str(budget["level"]).lower()
    node = level if budget["subject"] is None else f"{level}={_escaped(budget['subject'])}"
    if budget["provider"]:
        node += f";provider={_escaped(budget['provider'])}"
    if budget["model"]:
        node += f";model={_escaped(budget['model'])}"
    return node


def initial_breaker() -> dict[str, Any]:
    """A breaker that never moved."""
    return {
        "version": 0,
        "state": "CLOSED",
        "epoch": 0,
        "trips": 0,
        "since_us": 0,
        "open_until_us": None,
        "cause": None,
        "reason": "",
        "calls": 0,
        "failures": 0,
        "slow_calls": 0,
        "consecutive_failures": 0,
        "policy_version": 0,
    }


def breaker_after(timeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where a breaker stands after its transitions: what the last one says."""
    breaker = initial_breaker()
    for event in sorted(timeline, key=lambda event: int(event["version"])):
        breaker = {name: event[name] for name in breaker if name in event} | {
            "state": event["to_state"],
            "since_us": event["occurred_at"],
            "open_until_us": event["open_until"],
        }
    return breaker


def flaws(timeline: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a breaker's timeline: a gap or a double in its versions, or a state it did not come from."""
    found = []
    version, state = 0, "CLOSED"
    for event in timeline:
        if event["version"] != version + 1:
            found.append(f"version {event['version']} follows version {version}")
        if event["from_state"] != state:
            found.append(f"version {event['version']} comes from {event['from_state']}, it was {state}")
        version, state = event["version"], event["to_state"]
    return found
