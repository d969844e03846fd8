"""A provider's settings as the API shows them, and as an operator sets them."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Annotated, Any

from annotated_types import Interval, MaxLen
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from api.resources.values import Body, Flag, TimeOut, View, Whole
from api.rfc3339 import format_time_us
from events.envelope import Attributes, Name
from events.provider_changed import BreakerPolicy
from projections.live.provider import ProviderSettings

_POLICY = TypeAdapter(BreakerPolicy)
_POLICY_FIELDS = frozenset(field.name for field in fields(BreakerPolicy))


def _strict_policy(value: Any) -> Any:
    """Refuse what is no setting of a policy, and what only looks like a number."""
    if not isinstance(value, dict):
        return value
    unknown = sorted(str(name) for name in value.keys() - _POLICY_FIELDS)
    if unknown:
        raise ValueError(f"has no {', '.join(unknown)}; a policy has {', '.join(sorted(_POLICY_FIELDS))}")
    try:
        return _POLICY.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        finding = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, finding["loc"]))
        raise ValueError(f"{place}: {finding['msg'].removeprefix('Value error, ')}") from None


Policy = Annotated[BreakerPolicy, BeforeValidator(_strict_policy, json_schema_input_type=BreakerPolicy)]


class ProviderBody(Body):
    """A provider's settings, whole, as they shall be from now on."""

    models: Annotated[list[Name], MaxLen(1000)] = Field(
        [], description="Models that it serves.", examples=[["gpt-4o"]]
    )
    regions: Annotated[list[Name], MaxLen(100)] = Field([], description="Regions that it serves them in.")
    enabled: Flag = Field(True, description="False: nothing is routed to it.")
    priority: Annotated[Whole, Interval(ge=0, le=2**31 - 1)] = Field(
        100, description="The lower, the sooner chosen."
    )
    breaker_policy: Policy | None = Field(None, description="Policy of its breakers; null: the defaults.")
    deployment_policies: Annotated[dict[Name, Policy], MaxLen(1000)] = Field(
        {}, description="Policies of single deployments, by name, for example openai/gpt-4o@eu."
    )
    actor: Name = Field("api", description="Who sets it.")
    attributes: Attributes = Field({}, description="Anything else worth keeping, at most 32 texts.")


class ProviderView(View):
    """A provider as it was last set; version 0 when it is only known from traffic."""

    provider: str = Field(examples=["openai"])
    version: int = Field(
        description="Version of the settings, which is the policy version of its breakers too."
    )
    enabled: bool
    priority: int
    models: list[str]
    regions: list[str]
    breaker_policy: dict[str, Any] | None = Field(description="Null: the defaults.")
    deployment_policies: dict[str, dict[str, Any]]
    deployments: list[str] = Field(description="Deployments seen in traffic.")
    actor: str
    changed_at: TimeOut | None
    attributes: dict[str, str]


class ProviderList(View):
    """Providers in the order of their names: set by an operator, or seen in traffic."""

    providers: list[ProviderView]


def provider_view(settings: ProviderSettings, deployments: list[str]) -> ProviderView:
    """The view of a provider's settings."""
    policy = settings.breaker_policy
    return ProviderView(
        provider=settings.provider,
        version=settings.version,
        enabled=settings.enabled,
        priority=settings.priority,
        models=list(settings.models),
        regions=list(settings.regions),
        breaker_policy=asdict(policy) if policy is not None else None,
        deployment_policies={name: asdict(one) for name, one in sorted(settings.deployment_policies.items())},
        deployments=deployments,
        actor=settings.actor,
        changed_at=format_time_us(settings.changed_us) if settings.version else None,
        attributes=dict(settings.attributes),
    )
