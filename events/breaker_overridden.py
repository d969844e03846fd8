"""BreakerOverridden: an operator forced a breaker, or took the force away."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from events.envelope import ErrorText, Event, Name, OptionalName, ProviderName, TimeUs


class OverrideMode(StrEnum):
    """What is forced; NONE clears the override."""

    NONE = "NONE"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOverridden(Event):
    """See schemas/breaker_overridden. Without a model it holds for every deployment of the provider."""

    provider: ProviderName
    model: OptionalName | None = None
    region: OptionalName | None = None
    mode: OverrideMode
    actor: Name
    reason: ErrorText
    expires_at: TimeUs | None = None
