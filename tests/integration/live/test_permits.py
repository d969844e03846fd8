"""Probe permits: no more at once than a breaker grants, however many gateways ask."""

from __future__ import annotations

import asyncio

from projections.live.permits import Permits
from projections.live.store import LiveStore


async def test_permits_are_bounded_per_deployment_and_epoch(store: LiveStore) -> None:
    """At most so many probes are out at once; a returned or ended one makes room."""
    permits = Permits(store, partitions=4)
    first = await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=1_000)
    second = await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=2_000)
    assert first is not None
    assert second is not None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=3_000) is None
    assert await permits.acquire("openai/gpt-4o", 8, concurrent=2, now_us=3_000) is not None
    assert await permits.acquire("openai/gpt-4o-mini", 7, concurrent=2, now_us=3_000) is not None
    await permits.release(first)
    await permits.release(first)
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=4_000) is not None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=second.until_us - 1) is None
    assert await permits.acquire("openai/gpt-4o", 7, concurrent=2, now_us=second.until_us) is not None


async def test_permits_hold_among_many_gateways(store: LiveStore) -> None:
    """Asked at once, no more are granted than there are."""
    permits = Permits(store, partitions=4)
    asked = [permits.acquire("openai/gpt-4o", 1, concurrent=3, now_us=1_000) for _ in range(20)]
    assert sum(permit is not None for permit in await asyncio.gather(*asked)) == 3
