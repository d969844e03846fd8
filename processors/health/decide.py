"""What health checks and refused credentials lead to. Pure."""

from __future__ import annotations

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.envelope import OutcomeKind, deployment_name
from events.ids import derived_id
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, OutcomesObserved, latency_bucket
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from projections.live.breaker import Breaker
from projections.live.gates import credential_gate_since_us

SOURCE = "health-decider"

OUTCOME_OF_STATUS = {
    HealthStatus.HEALTHY: OutcomeKind.SUCCESS,
    HealthStatus.DEGRADED: OutcomeKind.SUCCESS,
    HealthStatus.UNHEALTHY: OutcomeKind.SERVER_ERROR,
}
"""A degraded deployment still answers, slowly: its latency counts, not a failure."""


def outcomes_of_check(
    event: ProviderHealthChecked, partition: int, offset: int, clock_us: int
) -> OutcomesObserved | None:
    """A check of a deployment as one outcome for its breaker; None when the check says nothing."""
    kind = OUTCOME_OF_STATUS.get(event.status)
    if kind is None or event.model is None:
        return None
    latency_ms = round(event.latency_ms or 0)
    buckets = [0] * LATENCY_BUCKETS
    buckets[latency_bucket(latency_ms)] = 1
    run = OutcomeRun(
        kind=kind,
        count=1,
        second=event.occurred_at // 1_000_000,
        latency_ms_sum=latency_ms,
        latency_buckets=tuple(buckets),
        last_error=event.error,
    )
    deployment = deployment_name(event.provider, event.model, event.region)
    return OutcomesObserved(
        event_id=derived_id(f"outcomes:health-{partition}:{deployment}", f"{offset}-{offset + 1}"),
        occurred_at=clock_us,
        source=SOURCE,
        tenant="",
        causation_id=event.event_id,
        provider=event.provider,
        model=event.model,
        region=event.region,
        source_topic="health",
        source_partition=partition,
        source_start=offset,
        source_end=offset + 1,
        runs=(run,),
    )


def credential_alert(before: Breaker, after: Breaker, offset: int, clock_us: int) -> AlertRaised | None:
    """An alert when the provider begins to refuse the credential, with the outcomes record at `offset`.

    Its id follows from the offset: two refusals may well begin at the same clock.
    """
    if credential_gate_since_us(after) is None or credential_gate_since_us(before) is not None:
        return None
    return AlertRaised(
        event_id=derived_id(f"alert:{after.deployment}", f"credential:{offset}"),
        occurred_at=clock_us,
        source=SOURCE,
        tenant="",
        kind=AlertKind.CREDENTIAL_GATE,
        severity=AlertSeverity.CRITICAL,
        subject=after.deployment,
        title=f"{after.deployment} refuses the credential ({after.refused_kind}): renew it, then update the provider",
    )
