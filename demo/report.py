"""What a run found, as JSON in a file. `tables.py` shows the same to people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from demo.evidence import Evidence
from demo.naive import Alert
from demo.options import DemoOptions
from demo.scenario import Scenario
from demo.spread import Trip, percentile
from events.money import format_usd


def write_report(options: DemoOptions, scenario: Scenario, evidence: Evidence, elapsed_s: float) -> None:
    """Write the file of the options, whole or not at all."""
    found = report(options, scenario, evidence, elapsed_s)
    new = options.report.with_suffix(options.report.suffix + ".new")
    new.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    new.replace(options.report)


def report(options: DemoOptions, scenario: Scenario, evidence: Evidence, elapsed_s: float) -> dict[str, Any]:
    """Money as decimal strings of USD, instants in RFC 3339, durations with their unit in the name."""
    proof = evidence.proof
    return {
        "equal": not proof.inequalities,
        "inequalities": proof.inequalities,
        "checks": [{"name": c.name, "compared": c.compared, "holds": c.holds} for c in proof.checks],
        "played": _played(options, scenario, elapsed_s),
        "events": [
            {
                "topic": flow.topic,
                "appended": flow.appended,
                "on_log": flow.on_log,
                "repeated": flow.repeated,
                "folded": flow.folded,
                "lost": flow.lost,
                "doubled": flow.doubled,
            }
            for flow in proof.flows
        ],
        "derived": {topic: evidence.naive.records[topic] for topic in ("outcomes", "breakers", "alerts")},
        "spend": spend_rows(evidence),
        "breakers": {
            deployment: [_transition(event) for event in timeline]
            for deployment, timeline in sorted(evidence.naive.timelines.items())
        },
        "outage_reached_gateways": spread(evidence.trips)
        | {"trips": [_trip(trip) for trip in evidence.trips]},
        "budgets": budget_rows(evidence),
        "faults": [
            {
                "name": fault.time.name,
                "detail": fault.detail,
                "at": instant(fault.virtual_us),
                "recovery_s": round(fault.recovery_s, 3),
            }
            for fault in evidence.faults
        ],
    }


def instant(at_us: int) -> str:
    """RFC 3339, to the millisecond."""
    return (
        datetime.fromtimestamp(at_us / 1_000_000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def spend_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Each tenant's spend as its ledgers, the log and the live state have it."""
    ledgers = evidence.books.spend_by_tenant()
    live: dict[str, int] = {}
    for (tenant, node, _), sums in evidence.live.spend.items():
        if node == "tenant":
            live[tenant] = live.get(tenant, 0) + sums[0]
    log = evidence.naive.spend_by_tenant
    return [
        {
            "tenant": tenant,
            "ledgers_usd": format_usd(ledgers.get(tenant, 0)),
            "log_usd": format_usd(log.get(tenant, 0)),
            "live_usd": format_usd(live.get(tenant, 0)),
            "equal": ledgers.get(tenant, 0) == log.get(tenant, 0) == live.get(tenant, 0),
        }
        for tenant in sorted(ledgers.keys() | live.keys() | log.keys())
    ]


def budget_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """How each budget stands, and which alerts were raised for it, by percent."""
    raised: dict[tuple[str, str], list[int]] = {}
    for alert in sorted(evidence.proof.raised, key=_by_percent):
        raised.setdefault((alert.tenant, alert.budget_id), []).append(alert.percent)
    return [
        {
            "tenant": tenant,
            "budget": held.budget.budget_id,
            "limit_usd": format_usd(held.limit_nano_usd),
            "spent_usd": format_usd(held.spent.cost_nano_usd),
            "state": held.state.value,
            "alerts_percent": raised.get((tenant, held.budget.budget_id), []),
        }
        for tenant, held in sorted(evidence.live.budgets, key=lambda row: (row[0], row[1].budget.budget_id))
    ]


def _by_percent(alert: Alert) -> tuple[int, int]:
    return alert.day, alert.percent


def spread(found: tuple[Trip, ...]) -> dict[str, Any]:
    """p50 and p99 over every gateway that another one's outage reached, with and without the injected faults' time."""
    quiet = [ms for trip in found if not trip.fault for ms in trip.reached_ms.values()]
    struck = [ms for trip in found if trip.fault for ms in trip.reached_ms.values()]
    return {"undisturbed": _figures(quiet), "during_faults": _figures(struck)}


def _figures(values: list[float]) -> dict[str, Any]:
    return {
        "sights": len(values),
        "p50_ms": _rounded(percentile(values, 0.50)),
        "p99_ms": _rounded(percentile(values, 0.99)),
        "max_ms": _rounded(max(values, default=None)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _played(options: DemoOptions, scenario: Scenario, elapsed_s: float) -> dict[str, Any]:
    return {
        "trace": str(options.trace) if options.trace else None,
        "incidents": str(options.incidents) if options.incidents else None,
        "seed": options.seed,
        "from": instant(options.at_us),
        "to": instant(scenario.requests[-1].at_us),
        "speed": round(scenario.speed, 2),
        "requests": len(scenario.requests),
        "gateways": options.gateways,
        "workers": options.workers,
        "elapsed_s": round(elapsed_s, 1),
        "outages": [
            {
                "provider": outage.provider,
                "from": instant(outage.start_us),
                "to": instant(outage.end_us),
                "impact": outage.impact,
                "failure_share": outage.failure_share,
                "title": outage.title,
            }
            for outage in scenario.outages
        ],
    }


def _transition(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": instant(event["occurred_at"]),
        "version": event["version"],
        "from": event["from_state"],
        "to": event["to_state"],
        "cause": event["cause"],
        "reason": event["reason"],
        "trips": event["trips"],
        "open_until": instant(event["open_until"]) if event["open_until"] else None,
    }


def _trip(trip: Trip) -> dict[str, Any]:
    return {
        "deployment": trip.deployment,
        "version": trip.version,
        "cause": trip.cause,
        "at": instant(trip.occurred_us),
        "call": trip.call_id or None,
        "during_fault": trip.fault or None,
        "reached_ms": {gateway: round(ms, 1) for gateway, ms in trip.reached_ms.items()},
    }
