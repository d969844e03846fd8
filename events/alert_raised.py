"""AlertRaised: something that people should know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from events.envelope import ErrorText, Event, Name, NanoUsd, SmallCount, TimeUs


class AlertKind(StrEnum):
    """What the alert is about."""

    OTHER = "OTHER"
    BUDGET_THRESHOLD = "BUDGET_THRESHOLD"
    CREDENTIAL_GATE = "CREDENTIAL_GATE"


class AlertSeverity(StrEnum):
    """How urgent it is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised(Event):
    """See schemas/alert_raised. Its id follows from subject, threshold and period: raised once."""

    kind: AlertKind
    severity: AlertSeverity
    subject: Name
    title: ErrorText
    threshold_percent: SmallCount | None = None
    period_start: TimeUs | None = None
    period_end: TimeUs | None = None
    value_nano_usd: NanoUsd | None = None
    limit_nano_usd: NanoUsd | None = None

    @property
    def tenant_or_provider(self) -> str:
        """Record key: the tenant, or the provider when the alert is about a deployment."""
        return self.tenant or self.subject.partition("/")[0]
