"""What operators have set, and where requests went, told from the events in their order, each document from scratch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from events.breaker_overridden import BreakerOverridden
from events.budget_changed import BudgetChanged
from events.codec import to_record
from events.provider_changed import ProviderChanged
from events.routing_decided import RoutingDecided

_WORDS = {"ORG": "org", "TEAM": "team", "USER": "user", "KEY": "key"}


def budget_documents(changes: Iterable[BudgetChanged]) -> dict[str, dict[str, Any]]:
    """By tenant. The last change wins; its version is its own or one more than the last, whichever is greater."""
    documents: dict[str, dict[str, Any]] = {}
    for change in changes:
        empty = {"tenant": change.tenant, "budgets": {}, "removed": {}}
        document = documents.setdefault(change.tenant, empty)
        before = document["budgets"].pop(change.budget_id, None)
        gone_at = document["removed"].pop(change.budget_id, 0)
        version = max(change.version, (before["version"] if before else gone_at) + 1)
        if change.change == "REMOVED":
            document["removed"][change.budget_id] = version
            continue
        document["budgets"][change.budget_id] = {
            "budget_id": change.budget_id,
            "version": version,
            "level": str(change.level),
            "subject": change.subject,
            "provider": change.provider,
            "model": change.model,
            "node": _node(change),
            "period": str(change.period),
            "rolling_hours": change.rolling_hours,
            "zone": change.zone,
            "limit_nano_usd": change.limit_nano_usd,
            "hard": change.hard,
            "soft_limits_percent": list(change.soft_limits_percent),
            "rollover_cap_nano_usd": change.rollover_cap_nano_usd,
            "since_us": before["since_us"] if before else change.occurred_at,
            "changed_us": change.occurred_at,
            "actor": change.actor,
            "reason": change.reason,
        }
    return documents


def _node(change: BudgetChanged) -> str:
    parts = ["tenant" if change.subject is None else f"{_WORDS[change.level]}={_plain(change.subject)}"]
    parts += [f"provider={_plain(change.provider)}"] if change.provider else []
    parts += [f"model={_plain(change.model)}"] if change.model else []
    return ";".join(parts)


def _plain(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def provider_documents(changes: Iterable[ProviderChanged]) -> dict[str, dict[str, Any]]:
    """By provider. The last change wins, whole."""
    documents: dict[str, dict[str, Any]] = {}
    for change in changes:
        before = documents.get(change.provider, {"version": 0, "changed_us": 0})
        documents[change.provider] = {
            "provider": change.provider,
            "version": max(change.version, before["version"] + 1),
            "change": str(change.change),
            "changed_us": max(before["changed_us"], change.occurred_at),
            "actor": change.actor,
            "models": list(change.models),
            "regions": list(change.regions),
            "enabled": change.enabled and change.change == "SET",
            "priority": change.priority,
            "breaker_policy": to_record(change.breaker_policy),
            "deployment_policies": to_record(change.deployment_policies),
            "attributes": change.attributes,
        }
    return documents


def override_documents(overrides: Iterable[BreakerOverridden]) -> dict[str, dict[str, Any]]:
    """By provider the last override of it as a whole."""
    return {
        override.provider: {
            "provider": override.provider,
            "event_id": override.event_id,
            "mode": str(override.mode),
            "actor": override.actor,
            "reason": override.reason,
            "until_us": override.expires_at,
        }
        for override in overrides
        if override.model is None
    }


def routing_documents(decisions: Iterable[RoutingDecided]) -> dict[str, dict[str, Any]]:
    """By tenant."""
    by_tenant: dict[str, list[RoutingDecided]] = {}
    for decision in decisions:
        by_tenant.setdefault(decision.tenant, []).append(decision)
    return {tenant: _routing(tenant, made) for tenant, made in by_tenant.items()}


def _routing(tenant: str, decisions: list[RoutingDecided]) -> dict[str, Any]:
    chosen = [_chosen(decision) for decision in decisions]
    last = decisions[-1]
    return {
        "tenant": tenant,
        "decisions": len(decisions),
        "unroutable": chosen.count(None),
        "by_deployment": dict(Counter(name for name in chosen if name is not None)),
        "by_strategy": dict(Counter(decision.strategy for decision in decisions)),
        "last": {
            "request_id": last.request_id,
            "decided_us": last.occurred_at,
            "deployment": chosen[-1],
            "strategy": last.strategy,
            "attempt": last.attempt,
            "passed_over": [
                [each.deployment, each.verdict] for each in last.candidates if each.verdict != "chosen"
            ],
        },
    }


def _chosen(decision: RoutingDecided) -> str | None:
    if not decision.provider:
        return None
    return f"{decision.provider}/{decision.model}" + (f"@{decision.region}" if decision.region else "")
