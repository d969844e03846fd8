"""A filled history and the API that reads it: calls of three hours, which every test may count."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from api.rfc3339 import format_time_us
from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import OutcomeKind
from events.ids import uuid7
from events.usage_recorded import UsageRecorded
from tests.integration.api.history_place import HistoryPlace
from tests.integration.api.world import World

START_US = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WHOLE = {"from": format_time_us(START_US), "to": format_time_us(START_US + 3 * HOUR_US)}


@dataclass(frozen=True, slots=True)
class Told:
    """A filled history, and the API that reads it."""

    place: HistoryPlace
    world: World
    calls: list[UsageRecorded]


def at(time_us: int) -> dict[str, Any]:
    """An envelope."""
    return {
        "event_id": uuid7(time_us, Random(time_us).randbytes(10)),
        "occurred_at": time_us,
        "source": "test",
    }


def some_calls(count: int) -> list[UsageRecorded]:
    """Calls of three hours, in no order of their times, one in ten without a price."""
    random = Random(5)
    kinds = [OutcomeKind.SUCCESS] * 8 + [OutcomeKind.TIMEOUT, OutcomeKind.RATE_LIMITED]
    return [
        UsageRecorded(
            **at(START_US + random.randrange(3 * HOUR_US)),
            tenant=random.choice(("acme", "globex")),
            request_id=f"r-{number}",
            provider=(provider := random.choice(("openai", "mistral"))),
            model=f"{provider}-{random.randrange(2)}",
            region=random.choice((None, "eu")),
            team=random.choice((None, "search", "ads")),
            user=random.choice((None, "ann", "bob")),
            outcome=random.choice(kinds),
            input_tokens=random.randrange(4000),
            output_tokens=random.randrange(400),
            latency_ms=int(random.lognormvariate(7, 1)),
            cost_nano_usd=None if random.random() < 0.1 else random.randrange(10**9),
        )
        for number in range(count)
    ]


def transition(
    version: int, at_us: int, before: BreakerState, after: BreakerState, provider: str = "anthropic"
) -> BreakerTransitioned:
    return BreakerTransitioned(
        **at(at_us),
        tenant="",
        provider=provider,
        model="claude",
        region="eu",
        version=version,
        from_state=before,
        to_state=after,
        cause=TransitionCause.FAILURE_RATE,
        reason="because",
        epoch=version,
        trips=1,
        open_until=at_us + 30_000_000 if after is BreakerState.OPEN else None,
        outcomes_offset=0,
    )
