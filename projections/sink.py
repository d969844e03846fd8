"""A sink: a projection that takes the log's records in batches and keeps, beside what it made of them, how far it came.

The port between who owns the partitions and reads the log (processors) and the stores that are written (history,
analytics, archive). A sink owns no connection to the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from events.positions import Partition
from events.reader import LogRecord
from projections.tip import Tip


class Sink(Protocol):
    """One store as a projection of the log. Partitions are written independently, each by one task at a time.

    Any method may raise SinkUnavailableError when the store does not answer within its bound: the partition is opened
    again later, and nothing else waits for it.
    """

    @property
    def name(self) -> str:
        """`history`, `analytics`, `archive`: names the consumer group, the metrics and the lines of the status."""
        ...

    @property
    def topics(self) -> tuple[str, ...]:
        """Short names of the topics that it takes."""
        ...

    async def open(self, place: Partition) -> int:
        """Take a partition over, fencing whoever wrote it before; the next offset to read of it."""
        ...

    def tip(self, place: Partition) -> Tip | None:
        """The last record that may be in the store, of a partition that was opened; None when it does not know one.

        It tells whether the log is still the one that was read: if not, reading on would leave a hole in silence.
        """
        ...

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        """Take records from the offset `start` on, in order, none missing but what the log no longer holds.

        Returns the next offset that is durable: it may lag behind the records when the sink gathers. FencedError when
        another owner took the partition, StaleCheckpointError when the store is not at `start`: then it is opened again.
        """
        ...

    async def tick(self) -> dict[Partition, int]:
        """Called about every second: close what is due by age. The partitions that became durable further, and to where."""
        ...

    async def release(self, place: Partition) -> None:
        """Another member takes the partition over, or it is opened again: forget what was gathered and is not durable."""
        ...

    async def drain(self) -> dict[Partition, int]:
        """The process stops in order: make all that was gathered durable; as `tick`."""
        ...

    async def positions(self) -> dict[Partition, int]:
        """The durable next offset of every partition that was ever taken, for status and lag. Needs no ownership."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
