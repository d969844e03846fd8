"""What operators have set, and where requests went, told from the events in their order: documents that are changed."""

from __future__ import annotations

from typing import Any

from events.breaker_overridden import BreakerOverridden
from events.budget_changed import BudgetChanged
from events.codec import to_record
from events.provider_changed import ProviderChanged
from events.routing_decided import RoutingDecided

_WORDS = {"ORG": "org", "TEAM": "team", "USER": "user", "KEY": "key"}


Documents = dict[str, dict[str, Any]]


def set_budget(documents: Documents, change: BudgetChanged) -> None:
    """By tenant. The last change wins; its version is its own or one more than the last, whichever is greater."""
    empty: dict[str, Any] = {"tenant": change.tenant, "budgets": {}, "removed": {}}
    document = documents.setdefault(change.tenant, empty)
    before = document["budgets"].pop(change.budget_id, None)
    gone_at = document["removed"].pop(change.budget_id, 0)
    version = max(change.version, (before["version"] if before else gone_at) + 1)
    if change.change == "REMOVED":
        document["removed"][change.budget_id] = version
        return
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


def _node(change: BudgetChanged) -> str:
    parts = ["tenant" if change.subject is None else f"{_WORDS[change.level]}={_plain(change.subject)}"]
    parts += [f"provider={_plain(change.provider)}"] if change.provider else []
    parts += [f"model={_plain(change.model)}"] if change.model else []
    return ";".join(parts)


def _plain(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def set_provider(documents: Documents, change: ProviderChanged) -> None:
    """By provider. The last change wins, whole."""
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


def set_override(documents: Documents, override: BreakerOverridden) -> None:
    """By provider the last override of it as a whole."""
    if override.model is None:
        documents[override.provider] = {
            "provider": override.provider,
            "event_id": override.event_id,
            "mode": str(override.mode),
            "actor": override.actor,
            "reason": override.reason,
            "until_us": override.expires_at,
        }


def route(documents: Documents, decision: RoutingDecided) -> None:
    """By tenant: one decision more."""
    empty = {
        "tenant": decision.tenant,
        "decisions": 0,
        "unroutable": 0,
        "by_deployment": {},
        "by_strategy": {},
    }
    document = documents.setdefault(decision.tenant, empty)
    chosen = _chosen(decision)
    document["decisions"] += 1
    if chosen is None:
        document["unroutable"] += 1
    else:
        document["by_deployment"][chosen] = document["by_deployment"].get(chosen, 0) + 1
    strategies = document["by_strategy"]
    strategies[decision.strategy] = strategies.get(decision.strategy, 0) + 1
    document["last"] = {
        "request_id": decision.request_id,
        "decided_us": decision.occurred_at,
        "deployment": chosen,
        "strategy": decision.strategy,
        "attempt": decision.attempt,
        "passed_over": [
            [each.deployment, each.verdict] for each in decision.candidates if each.verdict != "chosen"
        ],
    }


def _chosen(decision: RoutingDecided) -> str | None:
    if not decision.provider:
        return None
    return f"{decision.provider}/{decision.model}" + (f"@{decision.region}" if decision.region else "")
