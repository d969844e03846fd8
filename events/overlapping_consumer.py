"""A consumer whose reading overlaps: what comes after a seek or a new connection begins with the record before.

Behind a connection that was lost another log may answer under the same offsets. Whoever keeps a tip of what was read last
(`projections/tip.py`) finds it again at the front of what is read next, or another record in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from events.reader import LogRecord
from events.tolerant_records import TolerantConsumer

Fetched = Mapping[TopicPartition, list[LogRecord]]


class OverlappingConsumer(TolerantConsumer):
    """For those that follow the log from offsets that their stores keep."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connections: dict[Any, Any] = {}
        self._sought: dict[TopicPartition, int] = {}

    def seek_overlapping(self, place: TopicPartition, offset: int) -> None:
        """Read on from an offset, with the record before it first, when the log has it."""
        self._sought[place] = max(offset - 1, 0)
        self.seek(place, self._sought[place])

    def over_known_connections(self, fetched: Fetched) -> Fetched:
        """What was fetched; nothing when a connection is new since the last time: it is read again, overlapping."""
        connections = self._client._conns  # noqa: SLF001 - by broker; no public call tells of them
        if connections == self._connections:
            return fetched
        self._connections = dict(connections)
        for place in self.assignment():
            state = self._subscription.subscription.assignment.state_value(place)
            if place in fetched:
                offset = fetched[place][0].offset
            elif state.has_valid_position:
                offset = state.position
            else:
                continue
            has_overlap = offset == self._sought.get(place)
            self.seek_overlapping(place, offset + 1 if has_overlap else offset)
        return {}
