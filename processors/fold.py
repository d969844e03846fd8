"""What a slot does with a batch: the port between the runner, which owns the I/O, and the rooms that fold and decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from events.dead_letters import Refused
from events.publisher import Encoded
from processors.batching import RecordBatch
from projections.live.commit import Lease
from projections.live.slots import Slot


@dataclass(frozen=True, slots=True)
class Step:
    """All that one batch changes: states to write (None deletes), derived events to append, records refused.

    `clock_us` is the fold's clock after it; `duplicates` counts the records that were dropped as folded before. `end` is
    the next offset when only the first records of the batch were taken, so that what is derived of them fits an event.
    """

    clock_us: int
    writes: Mapping[str, bytes | None] = field(default_factory=dict)
    derived: Sequence[Encoded] = ()
    refused: Sequence[Refused] = ()
    duplicates: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a slot begins: the lease, the next offset of each topic, and the offset of each topic below which all that
    was decided is known to be on the log, so that a replay does not decide there again. `ends` is where the log's
    topics ended then: below it, offsets may have been folded before.
    """

    lease: Lease
    next_offsets: Mapping[str, int]
    decided_to: Mapping[str, int]
    ends: Mapping[str, int]


class NotYetError(Exception):
    """The batch can be folded only after other topics of the slot have caught up; nothing was changed by it."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"{topic} waits for what was decided before to be replayed")
        self.topic = topic


class Fold(Protocol):
    """Folds the topics of one slot. It keeps the states in memory and may be thrown away at any moment."""

    topics: tuple[str, ...]

    async def open(self, opening: Opening) -> None:
        """Load what the checkpoints stand for: recorded decisions, ids of the duplicate horizon."""
        ...

    def take_writes(self) -> Mapping[str, bytes | None]:
        """The states that what was found on the log has changed."""
        ...

    @property
    def overruled(self) -> Sequence[str]:
        """Whose state follows from a decision that was not the first on the log: others had made theirs before."""
        ...

    async def apply(self, topic: str, batch: RecordBatch) -> Step:
        """Fold a batch of a topic (short name), or its first records; at least one. What it changed in memory is durable only after the commit."""
        ...


FoldFactory = Callable[[Slot], Fold]
"""Makes the fold of a slot, with nothing loaded."""
