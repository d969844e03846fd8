"""Records as a partition holds them, without a log: the sink owns no connection to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from events.catalogue import TOPIC_OF_EVENT
from events.envelope import FAILURES, Event
from events.positions import Partition
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from projections.analytics.chroma import Found
from projections.analytics.documents import USAGE, read_window
from projections.analytics.places import client, full_name
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from tests.integration.log import CODEC, NOW_US

LOG = LogSettings(partitions=1)
PLACE = Partition("usage", 0)
HOUR_US = 3_600_000_000
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the log would give it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = field(default=())


def records(events: Iterable[Event], start: int = 0, at_us: int = NOW_US) -> list[Record]:
    """The events as the records of partition 0 from an offset on."""
    made = []
    for offset, event in enumerate(events, start):
        topic = TOPIC_OF_EVENT[type(event)]
        key = topic.key_of(event).encode()
        made.append(Record(topic.name, 0, offset, at_us // 1000, key, CODEC.encode(event)))
    return made


def sink_at(settings: AnalyticsSettings, now_us: int = NOW_US) -> AnalyticsSink:
    """A sink as a new process would have it."""
    return AnalyticsSink(settings, CODEC, LOG, lambda: now_us)


async def documents(settings: AnalyticsSettings, collection: str = USAGE) -> list[Found]:
    """All documents of a collection."""
    chroma = client(settings, 10.0)
    try:
        return await chroma.matching(full_name(settings, collection), {}, MOST)
    finally:
        await chroma.close()


Totals = dict[tuple[str, str, str, str, int], Counter[str]]
"""By tenant, user, provider, model and start of the hour."""

COUNTED = ("calls", "failures", "cost_nano_usd", "input_tokens", "output_tokens")


def naive_totals(events: Iterable[UsageRecorded]) -> Totals:
    """What the windows have to come to, counted one event at a time."""
    totals: Totals = {}
    for event in events:
        hour = event.occurred_at // HOUR_US * HOUR_US
        total = totals.setdefault(
            (event.tenant, event.user or "", event.provider, event.model, hour), Counter()
        )
        total["calls"] += 1
        total["failures"] += event.outcome in FAILURES
        total["cost_nano_usd"] += event.cost_nano_usd or 0
        total["input_tokens"] += event.input_tokens
        total["output_tokens"] += event.output_tokens
    return totals


def totals_of(found: Iterable[Found]) -> Totals:
    """What the documents say, in the same shape; a window in two documents is an error."""
    totals: Totals = {}
    for one in found:
        key = read_window(one.metadata).key
        place = (key.tenant, key.user, key.provider, key.model, key.start_us)
        assert place not in totals
        totals[place] = Counter({name: int(one.metadata[name]) for name in COUNTED})
    return totals
