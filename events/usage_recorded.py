"""UsageRecorded: one call to a provider as a gateway saw it end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from events.envelope import (
    Attempt,
    Attributes,
    Count,
    ErrorText,
    Event,
    HttpStatus,
    Name,
    NanoUsd,
    OptionalName,
    OutcomeKind,
    ProviderName,
)

MAX_LATENCY_MS = 7 * 86_400_000
"""A call that took longer than a week is a unit mistaken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecorded(Event):
    """See schemas/usage_recorded. `cost_nano_usd` is fixed when appended; None when no price is known."""

    request_id: Name
    provider: ProviderName
    model: Name
    region: OptionalName | None = None
    org: OptionalName | None = None
    team: OptionalName | None = None
    user: OptionalName | None = None
    api_key: OptionalName | None = None
    outcome: OutcomeKind
    status_code: HttpStatus | None = None
    error: ErrorText | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    latency_ms: Annotated[int, Interval(ge=0, le=MAX_LATENCY_MS)] = 0
    first_token_ms: Count | None = None
    retry_after_ms: Count | None = None
    cost_nano_usd: NanoUsd | None = None
    price_version: OptionalName | None = None
    breaker_epoch: Count | None = None
    attempt: Attempt = 1
    attributes: Attributes = field(default_factory=dict)
