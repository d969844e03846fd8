"""The outbox: derived events that were committed with the state they follow from, until the log has them."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

_HEAD = Struct(">QQHI")


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One record to append. `seq` numbers the slot's entries without gaps; `topic` is the short name."""

    seq: int
    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int

    def to_bytes(self) -> bytes:
        """seq, timestamp, length of topic and of key, then topic, key and value."""
        topic = self.topic.encode()
        return (
            _HEAD.pack(self.seq, self.timestamp_ms, len(topic), len(self.key)) + topic + self.key + self.value
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> OutboxEntry:
        """The inverse of to_bytes."""
        seq, timestamp_ms, topic_length, key_length = _HEAD.unpack_from(data)
        key_at = _HEAD.size + topic_length
        value_at = key_at + key_length
        return cls(
            seq, data[_HEAD.size : key_at].decode(), data[key_at:value_at], data[value_at:], timestamp_ms
        )
