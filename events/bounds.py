"""Which records count, beyond their schema: sound values, the right key in the right partition, a believable time, a bounded size.

The one judge of folds and sinks alike: what one of them counts, all do. The answer follows from the record alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from events.catalogue import Topic
from events.codec import Codec, from_record
from events.compiled_reader import Record
from events.envelope import Event
from events.errors import InvalidEventError
from events.header_names import check_names
from events.partitioner import partition_of
from events.reader import LogRecord
from events.settings import LogSettings

DAY_US = 86_400_000_000


@dataclass(slots=True)
class Bounds:
    """The checks for one partition. Answers about keys are remembered, a bounded number of them."""

    settings: LogSettings
    partition: int
    _keys: dict[str, bytes] = field(default_factory=dict)

    def event(self, topic: Topic, record: LogRecord, codec: Codec) -> Event:
        """The event of a record that counts; InvalidEventError says why it does not."""
        return self.checked(topic, record, codec.decode_record(topic, record.value))

    def checked(self, topic: Topic, record: LogRecord, values: Record) -> Event:
        """The same of a record that was decoded to plain values; their event_id gets its canonical spelling."""
        self.check_form(record)
        event = from_record(topic, values)
        self.check_key(record.key, topic.key_of(event), topic.key_field)
        self.check_time(event.occurred_at, record.timestamp)
        values["event_id"] = event.event_id
        return event

    def check_form(self, record: LogRecord) -> None:
        """Refuse what is larger than an event may be, or has a header whose name is not UTF-8."""
        value = record.value
        if value is not None and len(value) > self.settings.max_event_bytes:
            raise InvalidEventError(
                "too_large",
                f"the record has {len(value)} bytes, over the limit of {self.settings.max_event_bytes}",
            )
        check_names(record.headers)

    def check_key(self, key: bytes | None, expected: str, field_name: str) -> None:
        """Refuse a record whose key is not its event's, or that lies in a partition its key does not belong to."""
        known = self._keys.get(expected)
        if known is not None and known == key:
            return
        if key is None:
            raise InvalidEventError(
                "null_key", f"the record has no key: it has to be the event's {field_name}"
            )
        if key != expected.encode():
            raise InvalidEventError(
                "wrong_key",
                f"the record's key is {key[:80]!r} and the event's {field_name} is {expected!r}: they have to agree",
            )
        home = partition_of(key, self.settings.partitions)
        if home != self.partition:
            raise InvalidEventError(
                "wrong_partition",
                f"key {expected!r} belongs in partition {home}, not {self.partition}: "
                f"librdkafka producers have to set partitioner=murmur2_random",
            )
        if len(self._keys) >= REMEMBERED:
            self._keys.clear()
        self._keys[expected] = key

    def check_time(self, occurred_at: int, record_time_ms: int) -> None:
        """Refuse a time that cannot be meant, judged against the record's own timestamp so that replays agree."""
        ahead_us = occurred_at - record_time_ms * 1000
        if ahead_us > self.settings.max_event_ahead_s * 1_000_000:
            raise InvalidEventError(
                "time_out_of_range",
                f"occurred_at is {ahead_us / DAY_US:.1f} days after the record's timestamp; is it in microseconds?",
                field="occurred_at",
            )
        if -ahead_us > self.settings.max_event_age_days * DAY_US:
            raise InvalidEventError(
                "time_out_of_range",
                f"occurred_at is {-ahead_us / DAY_US:.1f} days before the record's timestamp; is it in microseconds?",
                field="occurred_at",
            )


REMEMBERED = 100_000
