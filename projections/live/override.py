"""StandingOverride: what an operator forced on a whole provider, for deployments seen later. Key `override:<provider>`.

Fold of BreakerOverridden without a model. Deployments that are known at that time get their transition at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from events.breaker_overridden import BreakerOverridden, OverrideMode
from projections.live.canonical import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingOverride:
    """The latest override of the whole provider; mode NONE when there is none."""

    provider: str
    event_id: str = ""
    mode: OverrideMode = OverrideMode.NONE
    actor: str = ""
    reason: str = ""
    until_us: int | None = None

    def in_force(self, clock_us: int) -> bool:
        """Whether a deployment first seen now starts under it."""
        return self.mode is not OverrideMode.NONE and (self.until_us is None or clock_us < self.until_us)

    def to_json(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> StandingOverride:
        """The state that `to_json` wrote."""
        fields = orjson.loads(data)
        fields["mode"] = OverrideMode(fields["mode"])
        return StandingOverride(**fields)


def initial(provider: str) -> StandingOverride:
    """A provider that was never overridden as a whole."""
    return StandingOverride(provider=provider)


def evolve(standing: StandingOverride, event: BreakerOverridden) -> StandingOverride:
    """Take an override of the whole provider; one of a single deployment changes nothing here."""
    return standing if event.model is not None else forced(event)


def forced(event: BreakerOverridden) -> StandingOverride:
    """What an override forces, whether on one deployment or on all of the provider's."""
    return StandingOverride(
        provider=event.provider,
        event_id=event.event_id,
        mode=event.mode,
        actor=event.actor,
        reason=event.reason,
        until_us=event.expires_at,
    )
