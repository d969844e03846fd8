"""What is to be carried into new topics, how much of it lies there already, and why it cannot be done, if so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from events.broker import missing_topics, partition_counts
from events.catalogue import TOPICS
from events.reader import LogReader
from events.settings import LogSettings
from processors.repartition.errors import BeginningGoneError, NothingToCarryError, RepartitionError
from processors.repartition.translate import TRANSLATED

LAST = ("breakers", "dead-letters")
"""They name places of records of the other topics, which have to be known by then."""

EARLY = ("usage", "adjustments", "routing", "health")
"""What producers send and most records are of: carried while the old deployment goes on. The rest waits until it stands still."""

ORDER = (*(topic for topic in TOPICS if topic not in LAST), *LAST)

NOMINAL_RECORDS_PER_S = 25_000
"""Carried on one core with the embedded broker; for the estimate only."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """`records` is how many the old topic has now, `carried` how many lie in the new one."""

    topic: str
    records: int
    carried: int

    @property
    def is_translated(self) -> bool:
        """Whether its events name places of the log."""
        return self.topic in TRANSLATED


@dataclass(frozen=True, slots=True)
class CarryPlan:
    """`refused`: why it cannot be carried out."""

    topics: tuple[TopicPlan, ...]
    refused: RepartitionError | None

    @property
    def left(self) -> int:
        """Records that are to be carried still."""
        return sum(max(0, one.records - one.carried) for one in self.topics)

    @property
    def estimated_s(self) -> float:
        """How long that may take."""
        return self.left / NOMINAL_RECORDS_PER_S


async def plan_carrying(old: LogSettings, new: LogSettings, reader: LogReader) -> CarryPlan:
    """The plan now. Nothing is changed. TopicMismatchError when topics of these names have another number of partitions."""
    absent = await missing_topics(old)
    await missing_topics(new)
    there = await partition_counts(new)
    rows, gone = [], dict[str, int]()
    for topic in ORDER:
        held = {} if topic in absent else await reader.ranges(topic)
        gone |= {f"{topic}-{number}": one.start for number, one in held.items() if one.start}
        carried = sum((await LogReader(new).ends(topic)).values()) if topic in there else 0
        rows.append(TopicPlan(topic, sum(one.end - one.start for one in held.values()), carried))
    return CarryPlan(tuple(rows), _refusal(old, gone, is_there=len(absent) < len(ORDER)))


def _refusal(old: LogSettings, gone: Mapping[str, int], *, is_there: bool) -> RepartitionError | None:
    if not is_there:
        return NothingToCarryError(
            f"there is no topic {old.topic_prefix}* at {old.bootstrap}: make new ones with their number of partitions, "
            "`INTERLOCK_LOG__PARTITIONS=N interlock topics create`"
        )
    if not gone:
        return None
    place, start = next(iter(gone.items()))
    return BeginningGoneError(
        f"what can be read of {place} begins at {start}, and so it is with {len(gone)} partitions: what was folded from the "
        "records before could not be folded again. Name an archive that reaches back to the beginning and up to the log: --archive DIR"
    )
