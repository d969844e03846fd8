"""Health of a provider and of its deployments as the API shows it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from api.resources.values import TimeOut, View
from api.rfc3339 import format_time_us, optional_time
from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from events.provider_health_checked import HealthStatus
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth, Outcomes
from projections.live.health_view import DeploymentView, ProviderView

_S_US = 1_000_000


class OutcomesView(View):
    """Calls over a window."""

    calls: int
    successes: int
    failures: int = Field(description="Outcomes that are the provider's fault.")
    other: int = Field(description="Outcomes that say nothing of the provider, for example a cancel.")
    success_rate: float | None = Field(
        description="Successes among successes and failures, 0 to 1; null without any."
    )
    mean_latency_ms: int | None = Field(description="Mean over the successes, milliseconds.")


class LastErrorView(View):
    """The last outcome in which the provider failed or refused."""

    kind: OutcomeKind
    at: TimeOut
    text: str | None


class CheckView(View):
    """What health checks say."""

    status: HealthStatus
    since: TimeOut | None
    checked_at: TimeOut | None
    latency_ms: float | None = Field(description="Moving average of answered checks, milliseconds.")
    consecutive_failures: int
    uptime_24h: float | None = Field(
        description="Share of the checks of the last 24 hours that it was up, 0 to 1."
    )
    uptime: float | None = Field(description="The same of all checks.")
    last_error: str | None
    last_error_at: TimeOut | None


class DeploymentHealthView(View):
    """Health of one deployment."""

    deployment: str = Field(examples=["openai/gpt-4o"])
    status: HealthStatus = Field(description="The worst that any evidence says; UNKNOWN without evidence.")
    reasons: list[str]
    breaker_state: BreakerState | None = Field(description="Effective state of its breaker.")
    latency_ms: float | None = Field(description="Moving average of successful calls, milliseconds.")
    consecutive_failures: int
    totals: dict[str, int] = Field(description="All calls by outcome.")
    last_success_at: TimeOut | None
    last_error: LastErrorView | None
    windows: dict[str, OutcomesView] = Field(description="By length: 1m, 5m, 1h.")
    check: CheckView | None


class ProviderHealthView(View):
    """Health of a provider: its own checks and all its deployments together."""

    provider: str = Field(examples=["openai"])
    status: HealthStatus
    reasons: list[str]
    windows: dict[str, OutcomesView]
    check: CheckView | None
    deployments: list[DeploymentHealthView]
    at: TimeOut


def health_of_provider(view: ProviderView, now_us: int) -> ProviderHealthView:
    """The view at the edge."""
    return ProviderHealthView(
        provider=view.provider,
        status=view.status,
        reasons=list(view.reasons),
        windows=_windows(view.windows.items()),
        check=_check(view.check, now_us),
        deployments=[_deployment(one, now_us) for one in view.deployments],
        at=format_time_us(now_us),
    )


def _deployment(view: DeploymentView, now_us: int) -> DeploymentHealthView:
    calls = view.calls
    return DeploymentHealthView(
        deployment=view.deployment,
        status=view.status,
        reasons=list(view.reasons),
        breaker_state=view.breaker_state,
        latency_ms=_ms(calls.latency_us) if calls else None,
        consecutive_failures=calls.consecutive_failures if calls else 0,
        totals=dict(calls.totals) if calls else {},
        last_success_at=_at_second(calls.last_success_s) if calls else None,
        last_error=_last_error(calls),
        windows=_windows(view.windows.items()),
        check=_check(view.check, now_us),
    )


def _windows(windows: Iterable[tuple[str, Outcomes]]) -> dict[str, OutcomesView]:
    return {
        name: OutcomesView(
            calls=outcomes.calls,
            successes=outcomes.successes,
            failures=outcomes.failures,
            other=outcomes.other,
            success_rate=outcomes.success_rate,
            mean_latency_ms=outcomes.mean_latency_ms,
        )
        for name, outcomes in windows
    }


def _last_error(calls: DeploymentHealth | None) -> LastErrorView | None:
    error = calls.last_error if calls else None
    return (
        LastErrorView(kind=error.kind, at=format_time_us(error.at_s * _S_US), text=error.text)
        if error
        else None
    )


def _check(check: CheckHealth | None, now_us: int) -> CheckView | None:
    if check is None:
        return None
    error = check.last_error
    return CheckView(
        status=check.status,
        since=optional_time(check.since_us),
        checked_at=optional_time(check.checked_us),
        latency_ms=_ms(check.latency_us),
        consecutive_failures=check.consecutive_failures,
        uptime_24h=check.uptime_of_day(now_us),
        uptime=check.uptime,
        last_error=error.text if error else None,
        last_error_at=format_time_us(error.at_us) if error else None,
    )


def _ms(latency_us: int | None) -> float | None:
    return None if latency_us is None else latency_us / 1000


def _at_second(second: int | None) -> str | None:
    return None if second is None else format_time_us(second * _S_US)
