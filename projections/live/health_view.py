"""What is known of a provider's health, put together: calls, checks and breakers, with a verdict and its reasons.

A view is computed when it is read; nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.breaker_transitioned import BreakerState
from events.provider_health_checked import HealthStatus
from projections.live.check import CheckHealth
from projections.live.health import DeploymentHealth, Outcomes

WINDOWS_S: Mapping[str, int] = {"1m": 60, "5m": 300, "1h": 3600}
JUDGED_WINDOW = "5m"
MINIMUM_CALLS = 10
"""Successes and failures below which a success rate is no evidence."""

UNHEALTHY_BELOW_PERCENT = 50
DEGRADED_BELOW_PERCENT = 95
CHECK_STALE_US = 900_000_000
"""A check says nothing any more after this time."""

_OF_BREAKER = {
    BreakerState.OPEN: HealthStatus.UNHEALTHY,
    BreakerState.FORCED_OPEN: HealthStatus.UNHEALTHY,
    BreakerState.HALF_OPEN: HealthStatus.DEGRADED,
}
_WORST_FIRST = (HealthStatus.UNHEALTHY, HealthStatus.DEGRADED, HealthStatus.HEALTHY)

Finding = tuple[HealthStatus, str]
"""What one piece of evidence says, and the evidence in words."""


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """Health of one deployment. `status` is the worst that any evidence says; UNKNOWN without evidence."""

    deployment: str
    status: HealthStatus
    reasons: tuple[str, ...]
    breaker_state: BreakerState | None
    windows: Mapping[str, Outcomes]
    calls: DeploymentHealth | None
    check: CheckHealth | None
    uptime_of_day: float | None


@dataclass(frozen=True, slots=True)
class ProviderView:
    """Health of a provider: of its own checks and of all its deployments together."""

    provider: str
    status: HealthStatus
    reasons: tuple[str, ...]
    windows: Mapping[str, Outcomes]
    check: CheckHealth | None
    uptime_of_day: float | None
    deployments: tuple[DeploymentView, ...]


def deployment_view(
    deployment: str,
    *,
    calls: DeploymentHealth | None,
    check: CheckHealth | None,
    breaker_state: BreakerState | None,
    now_us: int,
) -> DeploymentView:
    """Put together what is known of a deployment at an instant. `breaker_state` is the effective one."""
    windows = {name: _window(calls, length_s, now_us) for name, length_s in WINDOWS_S.items()}
    findings = [
        *_from_breaker(breaker_state),
        *_from_calls(windows[JUDGED_WINDOW]),
        *_from_check(check, now_us),
    ]
    status, reasons = _worst(findings)
    uptime = check.uptime_of_day(now_us) if check else None
    return DeploymentView(deployment, status, reasons, breaker_state, windows, calls, check, uptime)


def provider_view(
    provider: str, deployments: Sequence[DeploymentView], *, check: CheckHealth | None, now_us: int
) -> ProviderView:
    """Roll deployments up: a provider is unhealthy when all of them are, degraded when any is not healthy."""
    findings = [*_from_check(check, now_us), *_from_deployments(deployments)]
    status, reasons = _worst(findings)
    windows = {name: _sum([view.windows[name] for view in deployments]) for name in WINDOWS_S}
    uptime = check.uptime_of_day(now_us) if check else None
    return ProviderView(provider, status, reasons, windows, check, uptime, tuple(deployments))


def _window(calls: DeploymentHealth | None, length_s: int, now_us: int) -> Outcomes:
    return calls.window(length_s, now_us // 1_000_000) if calls else Outcomes(0, 0, 0, 0)


def _sum(windows: Sequence[Outcomes]) -> Outcomes:
    return Outcomes(
        sum(each.successes for each in windows),
        sum(each.failures for each in windows),
        sum(each.other for each in windows),
        sum(each.latency_ms for each in windows),
    )


def _from_breaker(state: BreakerState | None) -> list[Finding]:
    """A closed breaker is no evidence: it is so without any call too."""
    status = _OF_BREAKER.get(state) if state else None
    return [(status, f"breaker is {state}")] if status else []


def _from_calls(window: Outcomes) -> list[Finding]:
    counted = window.successes + window.failures
    if counted < MINIMUM_CALLS:
        return []
    if window.successes * 100 < UNHEALTHY_BELOW_PERCENT * counted:
        status = HealthStatus.UNHEALTHY
    elif window.successes * 100 < DEGRADED_BELOW_PERCENT * counted:
        status = HealthStatus.DEGRADED
    else:
        status = HealthStatus.HEALTHY
    return [(status, f"{window.successes} of {counted} calls succeeded in {JUDGED_WINDOW}")]


def _from_check(check: CheckHealth | None, now_us: int) -> list[Finding]:
    if check is None or check.checked_us is None or now_us - check.checked_us > CHECK_STALE_US:
        return []
    return [(check.status, f"last check of {check.subject} says {check.status}")]


def _from_deployments(deployments: Sequence[DeploymentView]) -> list[Finding]:
    known = [view for view in deployments if view.status is not HealthStatus.UNKNOWN]
    if not known:
        return []
    healthy = sum(view.status is HealthStatus.HEALTHY for view in known)
    unhealthy = sum(view.status is HealthStatus.UNHEALTHY for view in known)
    if unhealthy == len(known):
        status = HealthStatus.UNHEALTHY
    elif healthy == len(known):
        status = HealthStatus.HEALTHY
    else:
        status = HealthStatus.DEGRADED
    return [(status, f"{healthy} of {len(known)} deployments are healthy, {unhealthy} unhealthy")]


def _worst(findings: Sequence[Finding]) -> tuple[HealthStatus, tuple[str, ...]]:
    """The worst verdict and the reasons of all that give it."""
    for status in _WORST_FIRST:
        reasons = tuple(reason for found, reason in findings if found is status)
        if reasons:
            return status, reasons
    return HealthStatus.UNKNOWN, ()
