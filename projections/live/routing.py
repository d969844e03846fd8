"""Routing: where a tenant's requests went. Key `routing:<tenant>`. A fold of RoutingDecided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from events.envelope import deployment_name
from events.routing_decided import RoutingDecided
from projections.live.canonical import encode

MOST_NAMES = 1000
"""Deployments and strategies that are counted by name; decisions for further ones count together, under OTHERS."""

OTHERS = ""


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The last decision in partition order. `deployment` is None when nothing could be chosen."""

    request_id: str
    decided_us: int
    deployment: str | None
    strategy: str
    attempt: int
    passed_over: tuple[tuple[str, str], ...]
    """Deployments that were considered and not chosen, with the verdict."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Decisions of one tenant: by chosen deployment, by strategy, and those for which nothing could be chosen."""

    tenant: str
    decisions: int = 0
    unroutable: int = 0
    by_deployment: Mapping[str, int] = field(default_factory=dict)
    by_strategy: Mapping[str, int] = field(default_factory=dict)
    last: LastDecision | None = None

    def plus(self, event: RoutingDecided) -> Routing:
        """Fold one decision. The caller drops duplicates."""
        chosen = deployment_name(event.provider, event.model, event.region) if event.provider else None
        return replace(
            self,
            decisions=self.decisions + 1,
            unroutable=self.unroutable + (chosen is None),
            by_deployment=_counted(self.by_deployment, chosen) if chosen else self.by_deployment,
            by_strategy=_counted(self.by_strategy, event.strategy),
            last=LastDecision(
                event.request_id,
                event.occurred_at,
                chosen,
                event.strategy,
                event.attempt,
                tuple(
                    (each.deployment, each.verdict) for each in event.candidates if each.verdict != "chosen"
                ),
            ),
        )

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    @staticmethod
    def from_json(data: bytes) -> Routing:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        last = fields["last"]
        if last is not None:
            last["passed_over"] = tuple((deployment, verdict) for deployment, verdict in last["passed_over"])
            fields["last"] = LastDecision(**last)
        return Routing(**fields)


def _counted(counts: Mapping[str, int], name: str) -> dict[str, int]:
    more = dict(counts)
    key = name if name in more or len(more) < MOST_NAMES else OTHERS
    more[key] = more.get(key, 0) + 1
    return more
