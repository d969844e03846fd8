"""ProviderSettings: a provider as it was last set, with the policies of its breakers. Key `provider:<provider>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from events.provider_changed import BreakerPolicy, ProviderChange, ProviderChanged, WindowKind
from projections.live.canonical import encode

DEFAULT_POLICY = BreakerPolicy()


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A breaker policy and the version of the settings that state it; version 0 for the defaults."""

    policy: BreakerPolicy = DEFAULT_POLICY
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Fold of ProviderChanged: the newest version, whole. Version 0: nothing was ever set."""

    provider: str
    version: int = 0
    change: ProviderChange = ProviderChange.SET
    changed_us: int = 0
    actor: str = ""
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    enabled: bool = True
    priority: int = 100
    breaker_policy: BreakerPolicy | None = None
    deployment_policies: Mapping[str, BreakerPolicy] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def policy_for(self, deployment: str) -> PolicyInForce:
        """The deployment's own policy, else the provider's, else the defaults."""
        policy = self.deployment_policies.get(deployment, self.breaker_policy)
        return PolicyInForce(policy, self.version) if policy is not None else PolicyInForce()

    def to_json(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> ProviderSettings:
        """The state that `to_json` wrote."""
        fields = orjson.loads(data)
        fields["change"] = ProviderChange(fields["change"])
        fields["models"] = tuple(fields["models"])
        fields["regions"] = tuple(fields["regions"])
        if fields["breaker_policy"] is not None:
            fields["breaker_policy"] = _policy(fields["breaker_policy"])
        fields["deployment_policies"] = {
            deployment: _policy(policy) for deployment, policy in fields["deployment_policies"].items()
        }
        return ProviderSettings(**fields)


def _policy(fields: dict[str, Any]) -> BreakerPolicy:
    return BreakerPolicy(**{**fields, "window": WindowKind(fields["window"])})


def initial(provider: str) -> ProviderSettings:
    """A provider of which nothing was set yet: enabled, with the default policies."""
    return ProviderSettings(provider=provider)


def evolve(settings: ProviderSettings, event: ProviderChanged) -> ProviderSettings:
    """Take the event whole: the last one in the log's order wins, and its version is above all before it."""
    return ProviderSettings(
        provider=event.provider,
        version=max(event.version, settings.version + 1),
        change=event.change,
        changed_us=max(settings.changed_us, event.occurred_at),
        actor=event.actor,
        models=event.models,
        regions=event.regions,
        enabled=event.enabled and event.change is ProviderChange.SET,
        priority=event.priority,
        breaker_policy=event.breaker_policy,
        deployment_policies=event.deployment_policies,
        attributes=event.attributes,
    )
