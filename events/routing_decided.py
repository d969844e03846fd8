"""RoutingDecided: why a request went where it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MaxLen

from events.envelope import Attempt, Count, Event, Name, NanoUsd, OptionalName


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One deployment that was considered; `verdict` is `chosen`, `eligible`, or why it was passed over."""

    deployment: Name
    breaker_state: Name
    verdict: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecided(Event):
    """See schemas/routing_decided. `provider` is empty when nothing could be chosen."""

    request_id: Name
    provider: OptionalName
    model: OptionalName
    region: OptionalName | None = None
    strategy: Name
    candidates: Annotated[tuple[Candidate, ...], MaxLen(100)] = ()
    fallback_chain: Annotated[tuple[Name, ...], MaxLen(100)] = ()
    known_positions: Annotated[tuple[Name, ...], MaxLen(1000)] = ()
    estimated_cost_nano_usd: NanoUsd | None = None
    estimated_latency_ms: Count | None = None
    attempt: Attempt = 1
