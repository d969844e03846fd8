"""Raised: ids of a tenant's budget alerts, so that each is raised once. A fold of AlertRaised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from events.alert_raised import AlertRaised
from projections.live.canonical import encode

MOST_IDS = 4096


@dataclass(frozen=True, slots=True)
class Raised:
    """Ends of the alerts' periods (us) by alert id: the MOST_IDS that end last.

    An alert that was forgotten may be raised again, by usage that comes very late: with the same id, so it stays one.
    """

    tenant: str
    period_ends: Mapping[str, int] = field(default_factory=dict)

    def __contains__(self, alert_id: object) -> bool:
        return alert_id in self.period_ends

    def plus(self, alerts: Iterable[AlertRaised]) -> Raised:
        """With these alerts. Their order does not matter."""
        ends = dict(self.period_ends)
        ends.update((alert.event_id, alert.period_end or 0) for alert in alerts)
        if len(ends) > MOST_IDS:
            newest = sorted(ends.items(), key=lambda item: (item[1], item[0]))[-MOST_IDS:]
            ends = dict(newest)
        return Raised(self.tenant, ends)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode({"tenant": self.tenant, "period_ends": dict(self.period_ends)})

    @classmethod
    def from_json(cls, data: bytes) -> Raised:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        return cls(fields["tenant"], fields["period_ends"])
