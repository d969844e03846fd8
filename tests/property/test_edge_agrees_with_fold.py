"""What the edge accepts, the folds accept: a 202 is never followed by a dead letter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord
from hypothesis import given

from api.cloudevents import InvalidBatchError, decode
from api.ingest import time_bounds
from api.rfc3339 import format_time_us
from events.bounds import Bounds
from events.catalogue import TOPIC_OF_EVENT
from events.codec import Codec, from_record, to_record
from events.envelope import Event
from events.partitioner import partition_of
from events.provider_health_checked import ProviderHealthChecked
from events.registry import FolderRegistry
from events.routing_decided import RoutingDecided
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from processors.usage.soundness import Soundness
from tests.strategies import events_of

SETTINGS = LogSettings(partitions=4)
CODEC = Codec(FolderRegistry())
NOW_US = 1_772_366_400_000_000
BOUND_TO_MORE = {"time", "tenant", "cached_input_tokens"}
"""What is refused for more than its type: by the clock, by what it is a key of, and beside other fields."""
OUTSIDE = ("event_id", "occurred_at", "source", "tenant", "correlation_id", "causation_id")


def cloud_event(event: Event) -> dict[str, Any]:
    """The event as its producer would send it."""
    record = to_record(event)
    return {
        "specversion": "1.0",
        "id": event.event_id,
        "type": type(event).__name__,
        "source": event.source,
        "tenant": event.tenant,
        "time": format_time_us(event.occurred_at),
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "data": {name: value for name, value in record.items() if name not in OUTSIDE},
    }


def record_of(event: Event) -> ConsumerRecord[bytes, bytes]:
    """The record as the publisher lays it on the log, a moment later."""
    topic = TOPIC_OF_EVENT[type(event)]
    key, value = topic.key_of(event).encode(), CODEC.encode(event)
    partition = partition_of(key, SETTINGS.partitions)
    timestamp = NOW_US // 1000 + 50
    return ConsumerRecord(topic.name, partition, 0, timestamp, 0, key, value, None, len(key), len(value), ())


def accepted(event: Event) -> Event | None:
    """What comes of it at the edge, where the record is written without an event; None when it is refused there."""
    sent = orjson.loads(orjson.dumps(cloud_event(event)))
    try:
        [received] = decode([sent], time_bounds(SETTINGS, NOW_US), single=True)
    except InvalidBatchError as error:
        if {str(fault.path[-1]) for fault in error.faults} <= BOUND_TO_MORE:
            return None
        raise
    made = from_record(received.topic, received.record)
    assert CODEC.encode_record(received.topic, received.record) == CODEC.encode(made)
    return made


def fold(event: Event) -> None:
    """Check it as its fold does."""
    record = record_of(event)
    bounds = Bounds(SETTINGS, record.partition)
    if isinstance(event, UsageRecorded):
        Soundness(bounds).check(CODEC.decode_record(TOPIC_OF_EVENT[UsageRecorded], record.value), record)
    else:
        bounds.event(TOPIC_OF_EVENT[type(event)], record, CODEC)


@given(events_of(UsageRecorded) | events_of(ProviderHealthChecked) | events_of(RoutingDecided))
def test_what_the_edge_accepts_the_fold_accepts(event: Event) -> None:
    """Whatever it is, and also when its time is moved into the bounds."""
    for candidate in (event, replace(event, occurred_at=NOW_US)):
        taken = accepted(candidate)
        if taken is not None:
            fold(taken)
