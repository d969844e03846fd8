"""SpendAdjusted: the cost of one recorded call corrected, as an event of its own; what was recorded stays."""

from __future__ import annotations

from dataclasses import dataclass

from events.envelope import (
    ErrorText,
    Event,
    EventId,
    Name,
    NanoUsd,
    OptionalName,
    OutcomeKind,
    ProviderName,
    TimeUs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendAdjusted(Event):
    """See schemas/spend_adjusted. Carries all that a call's cost is told by, so that no fold of it needs the usage.

    `cost_before_nano_usd` is None when no price was known: the call is unpriced no more.
    """

    usage_id: EventId
    usage_occurred_at: TimeUs
    provider: ProviderName
    model: Name
    region: OptionalName | None = None
    org: OptionalName | None = None
    team: OptionalName | None = None
    user: OptionalName | None = None
    api_key: OptionalName | None = None
    outcome: OutcomeKind
    cost_before_nano_usd: NanoUsd | None = None
    cost_after_nano_usd: NanoUsd
    price_version_before: OptionalName | None = None
    price_version: Name
    actor: Name
    reason: ErrorText = ""

    @property
    def difference_nano_usd(self) -> int:
        """What is added to the spend of all that the call is charged to."""
        return self.cost_after_nano_usd - (self.cost_before_nano_usd or 0)

    @property
    def unpriced_calls(self) -> int:
        """What is added to the count of calls without a known price."""
        return -1 if self.cost_before_nano_usd is None else 0
