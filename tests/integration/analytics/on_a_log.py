"""Analytics of a log with something of every kind: written, looked at, changed behind the sink's back, and verified."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.positions import Partition
from events.reader import LogReader
from processors.verify.analytics import AnalyticsProof
from processors.verify.analytics_group import AnalyticsFound
from projections.analytics.chroma import Chroma, Stored
from projections.analytics.places import full_name
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from tests.integration.analytics.stories import hourly, opened, outcomes
from tests.integration.log import NOW_US
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic, now_us, usage

ONE_HOUR: dict[str, Any] = {"user": "nobody-else", "occurred_at": now_us()}
"""Calls of one window, also when an hour ends amid the test."""


def lately(*events: Event) -> list[Event]:
    """A story as if it were told now, by the hour."""
    later_us = (now_us() - NOW_US) // (3_600 * 1_000_000) * 3_600 * 1_000_000
    moved = [replace(event, occurred_at=event.occurred_at + later_us) for event in events]
    return [
        _later(event, later_us // 1_000_000) if isinstance(event, OutcomesObserved) else event
        for event in moved
    ]


def _later(event: OutcomesObserved, later_s: int) -> OutcomesObserved:
    return replace(event, runs=tuple(replace(run, second=run.second + later_s) for run in event.runs))


async def something_of_every_kind(rig: Rig) -> None:
    """Twice told and damaged records among it."""
    told = [
        usage("acme", cost_nano_usd=None, **ONE_HOUR),
        usage("acme", cost_nano_usd=-5, attempt=2),
    ]
    await rig.append(*told, *Traffic(rig).some(80), told[0])
    await rig.append(*lately(*hourly("globex", range(3), 5)))
    await rig.append(*lately(*(outcomes("openai", ago, 9, ago % 2) for ago in range(6, 0, -1))))
    await rig.append(*lately(outcomes("openai", 3, 9, 0), opened("openai", 2), opened("mistral", 1)))
    await rig.append_raw("usage", 0, key=b"acme", value=b"no event at all")


async def write(rig: Rig, settings: AnalyticsSettings) -> None:
    """All that the log has, by a sink as a new process would have it."""
    sink = AnalyticsSink(settings, rig.codec, rig.log)
    try:
        await take_all(rig, sink)
    finally:
        await sink.close()


async def take_all(rig: Rig, sink: AnalyticsSink) -> None:
    """What the driver does, once: open, write from where the sink says, drain."""
    for topic in sink.topics:
        for number, records in (await rig.records(topic)).items():
            place = Partition(topic, number)
            start = await sink.open(place)
            await sink.write(place, start, [record for record in records if record.offset >= start])
    await sink.drain()


async def verified(rig: Rig, settings: AnalyticsSettings, reader: LogReader | None = None) -> AnalyticsFound:
    """Verify all partitions."""
    proof = AnalyticsProof(rig.log, settings, rig.codec, reader or rig.reader, lambda *_: None)
    return await proof.verify(range(rig.log.partitions))


def told(found: AnalyticsFound) -> list[str]:
    """The differences, in words."""
    return [str(one) for one in found.comparison.differences]


class Hands:
    """Somebody who changes documents behind the sink's back."""

    def __init__(self, settings: AnalyticsSettings) -> None:
        assert settings.chroma_url is not None
        self._settings = settings
        self.chroma = Chroma(settings.chroma_url, 10.0)

    async def all(self, collection: str) -> list[Stored]:
        """The documents, by id."""
        pages = [page async for page in self.chroma.every(full_name(self._settings, collection))]
        return sorted((one for page in pages for one in page), key=lambda one: one.id)

    async def put(self, collection: str, document: Stored) -> None:
        """Write one."""
        await self.chroma.upsert(full_name(self._settings, collection), [document])

    async def take(self, collection: str, document: Stored) -> None:
        """Delete one."""
        await self.chroma.delete(full_name(self._settings, collection), [document.id])


@asynccontextmanager
async def hands_on(settings: AnalyticsSettings) -> AsyncIterator[Hands]:
    """As long as the block lasts."""
    hands = Hands(settings)
    try:
        yield hands
    finally:
        await hands.chroma.close()
