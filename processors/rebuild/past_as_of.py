"""The past of a slot as it was at an earlier position: what was derived later is not known yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.alert_raised import AlertRaised
from events.breaker_transitioned import BreakerTransitioned
from processors.rebuild.kept_past import KeptPast
from processors.recorded import Hints


@dataclass(frozen=True, slots=True)
class PastAsOf(KeptPast):
    """The slot has folded outcomes to before `outcomes_end`, and nothing that is newer than `at_us`.

    A fold remembers alerts as raised, and deployments as known, as soon as it reads that of the log.
    """

    outcomes_end: int = field(kw_only=True)
    at_us: int = field(kw_only=True)

    async def transitions(self, hints: Hints) -> list[BreakerTransitioned]:
        """Those whose place comes before the end; at the end, those that were decided by then."""
        found = await KeptPast.transitions(self, hints)
        return [
            event
            for event in found
            if event.outcomes_offset < self.outcomes_end
            or (event.outcomes_offset == self.outcomes_end and event.occurred_at <= self.at_us)
        ]

    async def alerts(self, hints: Hints) -> list[AlertRaised]:
        """Those that were raised by then."""
        return [event for event in await KeptPast.alerts(self, hints) if event.occurred_at <= self.at_us]
