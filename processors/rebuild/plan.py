"""What a rebuild has to fold: from where to where, per topic and slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.reader import LogReader, Range
from processors.rebuild.errors import LogEndsEarlyError, LogStartGoneError
from projections.live.slots import TOPICS_OF_LEAD, Slot

NOMINAL_EVENTS_PER_S = 15_000
"""Of one core, when no rebuild has noted its own rate yet."""


@dataclass(frozen=True, slots=True)
class Part:
    """Records [start, end) of one topic of a slot; `held` is what the log has of it, and its archive if one was named."""

    slot: Slot
    topic: str
    start: int
    end: int
    held: Range

    @property
    def records(self) -> int:
        """How many are to be folded."""
        return max(0, self.end - self.start)


@dataclass(frozen=True, slots=True)
class Plan:
    """`generation` is the one to be built, beside `live`; `resumed` when it was begun before. `from_noted`: the rate is a measured one."""

    live: int
    generation: int
    resumed: bool
    parts: tuple[Part, ...]
    events_per_s: int
    is_measured: bool

    @property
    def records(self) -> int:
        """How many are to be folded, all together."""
        return sum(part.records for part in self.parts)

    @property
    def estimated_s(self) -> float:
        """How long that may take."""
        return self.records / max(1, self.events_per_s)


async def parts_of(
    reader: LogReader,
    slots: Sequence[Slot],
    starts: Mapping[Slot, Mapping[str, int]],
    ends: Mapping[Slot, Mapping[str, int]],
) -> tuple[Part, ...]:
    """The parts between two checkpoints of each slot. LogStartGoneError, LogEndsEarlyError: the log cannot give them."""
    held = {
        topic: await reader.ranges(topic)
        for topic in dict.fromkeys(topic for slot in slots for topic in TOPICS_OF_LEAD[slot.lead])
    }
    parts = []
    for slot in slots:
        for topic in TOPICS_OF_LEAD[slot.lead]:
            on_log = held[topic].get(slot.partition, Range(0, 0))
            part = Part(slot, topic, starts[slot].get(topic, 0), ends[slot].get(topic, 0), on_log)
            _check(part)
            parts.append(part)
    return tuple(parts)


def _check(part: Part) -> None:
    place = f"{part.topic}-{part.slot.partition}"
    if part.records and part.held.start > part.start:
        raise LogStartGoneError(
            f"what can be read of {place} begins at {part.held.start}, and the state was folded from {part.start} on. What was "
            "before: `interlock rebuild live --archive DIR`, of an archive that reaches back so far and up to where the log begins"
        )
    if part.end > part.held.end:
        raise LogEndsEarlyError(
            f"the live generation has folded {place} up to {part.end}, and the log ends at {part.held.end}: it is another log "
            "(docs/runbooks.md, Broker lost)"
        )
