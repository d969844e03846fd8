"""Traffic with something in it to be found: planted, so that the answer is known."""

from __future__ import annotations

from collections.abc import Iterable

from events.breaker_transitioned import BreakerState, BreakerTransitioned, TransitionCause
from events.envelope import Event, OutcomeKind
from events.ids import derived_id
from events.outcomes_observed import LATENCY_BUCKETS, OutcomeRun, OutcomesObserved, latency_bucket
from events.positions import Partition
from events.usage_recorded import UsageRecorded
from projections.analytics.settings import AnalyticsSettings
from tests.integration.analytics.records import HOUR_US, records, sink_at
from tests.integration.log import NOW_US, usage

HOUR_NOW_US = NOW_US // HOUR_US * HOUR_US
STATE_US = 300_000_000
STATE_NOW_US = NOW_US // STATE_US * STATE_US


async def tell(settings: AnalyticsSettings, *stories: Iterable[Event]) -> None:
    """Put the events of each story, which are of one topic, into the analytics."""
    sink = sink_at(settings, NOW_US)
    for story in stories:
        made = records(list(story))
        place = Partition(made[0].topic, 0)
        start = await sink.open(place)
        await sink.write(place, start, [one for one in made if one.offset >= start])
    await sink.drain()
    await sink.close()


def hourly(tenant: str, hours_ago: range, calls: int, **values: object) -> Iterable[UsageRecorded]:
    """So many equal calls in each of those hours, a little more or less by turns."""
    for ago in hours_ago:
        for number in range(calls + ago % 3):
            yield usage(
                tenant=tenant,
                occurred_at=HOUR_NOW_US - ago * HOUR_US + number,
                **{"user": "ann", "latency_ms": 800, "input_tokens": 1_000, "output_tokens": 100}
                | {"cost_nano_usd": 3_500_000}
                | values,
            )


def outcomes(
    provider: str, windows_ago: int, good: int, bad: int, kind: OutcomeKind = OutcomeKind.TIMEOUT
) -> OutcomesObserved:
    """One window of a provider's calls."""
    second = (STATE_NOW_US - windows_ago * STATE_US) // 1_000_000
    start = 1_000_000 - windows_ago * 1_000
    runs = [
        _run(outcome, count, second, latency)
        for outcome, count, latency in ((OutcomeKind.SUCCESS, good, 700), (kind, bad, 30_000))
        if count
    ]
    return OutcomesObserved(
        event_id=derived_id(f"story:{provider}", windows_ago),
        occurred_at=second * 1_000_000,
        source="story",
        tenant="",
        provider=provider,
        model="large",
        source_topic="usage",
        source_partition=0,
        source_start=start,
        source_end=start + good + bad,
        runs=tuple(runs),
    )


def _run(kind: OutcomeKind, count: int, second: int, latency_ms: int) -> OutcomeRun:
    buckets = [0] * LATENCY_BUCKETS
    buckets[latency_bucket(latency_ms)] = count
    return OutcomeRun(
        kind=kind,
        count=count,
        second=second,
        latency_ms_sum=count * latency_ms,
        latency_buckets=tuple(buckets),
    )


def opened(provider: str, windows_ago: int) -> BreakerTransitioned:
    """The breaker of its model opens in that window."""
    return BreakerTransitioned(
        event_id=derived_id(f"breaker:{provider}", windows_ago),
        occurred_at=STATE_NOW_US - windows_ago * STATE_US,
        source="story",
        tenant="",
        provider=provider,
        model="large",
        version=1,
        from_state=BreakerState.CLOSED,
        to_state=BreakerState.OPEN,
        cause=TransitionCause.FAILURE_RATE,
        reason="half of the calls failed",
        epoch=1,
        trips=1,
        outcomes_offset=1,
    )
