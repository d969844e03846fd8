"""What a slot's new owner appends before it looks for what earlier owners have derived: its fence. Pure.

A fence is an OutcomesObserved of nothing: an empty range, no runs, and a provider whose name only serves to lie in the
wanted partition. Its epoch is in the record's header, as that of every derived record.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import count

from events.ids import derived_id
from events.outcomes_observed import OutcomesObserved
from events.partitioner import partition_of
from projections.live.slots import Slot

SOURCE = "fence"
MODEL = "-"


def fences(
    slot: Slot, epoch: int, numbers: Iterable[int], partitions: int, clock_us: int
) -> list[OutcomesObserved]:
    """One fence of the slot's owner for each of the numbers of outcomes partitions."""
    return [
        OutcomesObserved(
            event_id=derived_id(f"fence:{slot.lead}-{slot.partition}:outcomes-{number}", epoch),
            occurred_at=clock_us,
            source=SOURCE,
            tenant="",
            provider=_name_in(number, partitions),
            model=MODEL,
            source_topic=slot.lead,
            source_partition=slot.partition,
            source_start=0,
            source_end=0,
            runs=(),
        )
        for number in numbers
    ]


def is_fence(event: OutcomesObserved) -> bool:
    """Whether it tells of no outcomes, only that an owner has come."""
    return not event.runs


@lru_cache(maxsize=4096)
def _name_in(number: int, partitions: int) -> str:
    """A provider's name that lies in a partition."""
    names = (f"{SOURCE}-{at}" for at in count())
    return next(name for name in names if partition_of(name.encode(), partitions) == number)
