"""Events of the history as the API shows them: the event's own fields, and where it lies on the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field

from api.resources.values import TimeOut, UsdOut, View
from api.rfc3339 import optional_time
from events.alert_raised import AlertKind, AlertSeverity
from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import OutcomeKind, deployment_name
from events.money import format_usd
from events.positions import Partition
from events.provider_health_checked import HealthStatus

_NANO_USD = "_nano_usd"
_TIMES = frozenset(
    {"occurred_at", "appended_at", "open_until", "override_until", "period_start", "period_end"}
)


class EventView(View):
    """One event, as it was appended."""

    event_id: str
    occurred_at: TimeOut
    appended_at: TimeOut = Field(description="Timestamp of the record on the log.")
    source: str
    tenant: str
    correlation_id: str | None
    causation_id: str | None
    partition: str = Field(examples=["usage-3"])
    offset: int = Field(description="Offset of the record in that partition.")


class UsageEventView(EventView):
    """A call to a provider."""

    request_id: str
    provider: str
    model: str
    region: str | None
    org: str | None
    team: str | None
    user: str | None
    api_key: str | None
    outcome: OutcomeKind
    status_code: int | None
    error: str | None
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    latency_ms: int
    first_token_ms: int | None
    retry_after_ms: int | None
    cost_usd: UsdOut | None = Field(description="Null: no price was known.")
    price_version: str | None
    breaker_epoch: int | None
    attempt: int
    attributes: dict[str, str]


class HealthEventView(EventView):
    """A health check."""

    provider: str
    model: str | None
    region: str | None
    status: HealthStatus
    latency_ms: float | None
    status_code: int | None
    error: str | None


class BreakerEventView(EventView):
    """A transition of a breaker, with what the rule looked at."""

    deployment: str = Field(examples=["openai/gpt-4o"])
    provider: str
    model: str
    region: str | None
    version: int
    from_state: BreakerState
    to_state: BreakerState
    cause: TransitionCause
    reason: str
    epoch: int
    trips: int
    open_until: TimeOut | None
    calls: int
    failures: int
    slow_calls: int
    consecutive_failures: int
    policy_version: int
    override_actor: str | None
    override_reason: str | None
    override_until: TimeOut | None


class CandidateView(View):
    """A deployment that was considered; `verdict` is `chosen`, `eligible`, or why it was passed over."""

    deployment: str
    breaker_state: str = Field(description="As the router saw it.")
    verdict: str


class RoutingEventView(EventView):
    """A routing decision."""

    request_id: str
    provider: str = Field(description="Empty when nothing could be chosen.")
    model: str
    region: str | None
    strategy: str
    candidates: list[CandidateView]
    fallback_chain: list[str]
    known_positions: list[str] = Field(description="What of the log the router had folded.")
    estimated_cost_usd: UsdOut | None
    estimated_latency_ms: int | None
    attempt: int


class AlertEventView(EventView):
    """An alert."""

    kind: AlertKind
    severity: AlertSeverity
    subject: str
    title: str
    threshold_percent: int | None
    period_start: TimeOut | None
    period_end: TimeOut | None
    value_usd: UsdOut | None
    limit_usd: UsdOut | None


class PageView(View):
    """Some of the events in [from, to); `next` continues the list, null at its end."""

    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")
    next: str | None = Field(description="Give it as `cursor` to continue.")


class UsagePage(PageView):
    """Calls."""

    items: list[UsageEventView]


class HealthPage(PageView):
    """Health checks."""

    items: list[HealthEventView]


class BreakerPage(PageView):
    """Transitions."""

    items: list[BreakerEventView]


class RoutingPage(PageView):
    """Decisions."""

    items: list[RoutingEventView]


class AlertPage(PageView):
    """Alerts."""

    items: list[AlertEventView]


V = TypeVar("V", bound=EventView)


def event_view(view: type[V], topic: str, row: Mapping[str, Any]) -> V:
    """The view of a row of that topic's table: money as US dollars, times as RFC 3339."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith(_NANO_USD):
            told[name.removesuffix(_NANO_USD) + "_usd"] = None if value is None else format_usd(value)
        else:
            told[name] = optional_time(value) if name in _TIMES else value
    told["partition"] = str(Partition(topic, row["log_partition"]))
    told["offset"] = row["log_offset"]
    if topic == "breakers":
        told["deployment"] = deployment_name(row["provider"], row["model"], row["region"])
    return view.model_validate(told)
