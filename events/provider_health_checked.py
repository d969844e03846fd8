"""ProviderHealthChecked: one health check of a provider or of one deployment of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import Interval
from pydantic import AllowInfNan

from events.envelope import ErrorText, Event, HttpStatus, OptionalName, ProviderName


class HealthStatus(StrEnum):
    """Verdict of a health check."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealthChecked(Event):
    """See schemas/provider_health_checked. Without a model it speaks of the provider as a whole."""

    provider: ProviderName
    model: OptionalName | None = None
    region: OptionalName | None = None
    status: HealthStatus
    latency_ms: Annotated[float, AllowInfNan(allow_inf_nan=False), Interval(ge=0, le=86_400_000)] | None = (
        None
    )
    status_code: HttpStatus | None = None
    error: ErrorText | None = None
