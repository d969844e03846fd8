"""A point that is consistent across all partitions: nothing below it was derived from anything that is not."""

from __future__ import annotations

import time

from events.broker import partition_counts
from events.catalogue import TOPICS
from events.errors import LogUnavailableError
from events.group_offsets import GroupOffsets
from events.log_ends import LogEnds
from events.positions import Partition
from events.settings import LogSettings
from projections.backup.manifest import Point

_DERIVED = (
    ("dead-letters", "alerts", "breakers"),
    ("outcomes", "adjustments"),
    ("usage", "health", "routing"),
)
EFFECTS_FIRST = (*_DERIVED, tuple(topic for topic in TOPICS if not any(topic in some for some in _DERIVED)))
"""The order in which topics are asked for their ends: what is derived before what it was derived from, settings last.

An event is appended after those that it follows from. So with an end that was asked earlier, all that its events follow from is
below the ends that are asked later. The other way round a backup might hold outcomes of calls that it does not hold, and
calls that come to lie at their offsets after a restore would count as told already.
"""


async def capture(log: LogSettings) -> Point:
    """Where the log is now. The group is asked before all: below what it has told, everything derived is on the log.

    Raises LogUnavailableError.
    """
    captured_us = time.time_ns() // 1000
    counts = await partition_counts(log)
    places = {topic: [Partition(topic, number) for number in range(counts[topic])] for topic in counts}
    if not places:
        raise LogUnavailableError(f"the log at {log.bootstrap} has none of the topics {log.topic_prefix}*")
    async with GroupOffsets(log) as groups:
        known = [place for topic in TOPICS for place in places.get(topic, ())]
        decided_to = await groups.committed(log.group_id, known)
    positions: dict[Partition, int] = {}
    async with LogEnds(log) as ends:
        for topics in EFFECTS_FIRST:
            asked = [place for topic in topics for place in places.get(topic, ())]
            positions |= await ends.ends(asked) if asked else {}
    return Point(captured_us, positions, _below(decided_to, positions))


def _below(decided_to: dict[Partition, int], positions: dict[Partition, int]) -> dict[Partition, int]:
    """Offsets beyond the end are those of a log that was there before."""
    return {place: offset for place, offset in decided_to.items() if offset <= positions[place]}
