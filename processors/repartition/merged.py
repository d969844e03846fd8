"""The partitions of an old topic as one sequence, in the order of the folds' clocks.

A fold's clock is the greatest record timestamp of its partition so far, and some of a state depends on it: what counts as told
twice, when a gate was set. Carried in this order and with its clock as its timestamp, a record meets the same clock in its new
partition, whichever records of other partitions lie there before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import NamedTuple

from events.reader import Batch, LogReader, LogRecord, Range


class Ticked(NamedTuple):
    """A record, and the fold's clock at it in milliseconds."""

    clock_ms: int
    record: LogRecord


_clock = itemgetter(0)


@dataclass(slots=True)
class _Head:
    """One partition as it is read, with its clock so far."""

    reading: AsyncGenerator[Batch, None]
    clock_ms: int
    has_ended: bool = False
    waiting: list[Ticked] = field(default_factory=list)

    async def fill(self) -> None:
        """Have something waiting, unless the partition has ended."""
        while not self.waiting and not self.has_ended:
            batch = await anext(self.reading, None)
            self.has_ended = batch is None
            for record in [] if batch is None else batch[1]:
                self.clock_ms = max(self.clock_ms, record.timestamp)
                self.waiting.append(Ticked(self.clock_ms, record))

    def take(self, bound_ms: float) -> list[Ticked]:
        """What waits up to that clock."""
        cut = bisect_right(self.waiting, bound_ms, key=_clock)
        taken, self.waiting = self.waiting[:cut], self.waiting[cut:]
        return taken


async def merged(
    reader: LogReader, topic: str, wanted: Mapping[int, Range], clocks_ms: Mapping[int, int]
) -> AsyncGenerator[list[Ticked], None]:
    """The records of the ranges, by clock; those of a partition in their order. `clocks_ms` is the clock before each range."""
    async with AsyncExitStack() as open_readings:
        heads = []
        for number, asked in wanted.items():
            reading = reader.read(topic, {number: asked})
            await open_readings.enter_async_context(aclosing(reading))
            heads.append(_Head(reading, clocks_ms.get(number, 0)))
        while True:
            for head in heads:
                await head.fill()
            heads = [head for head in heads if head.waiting]
            if not heads:
                return
            bound_ms = min((head.waiting[-1].clock_ms for head in heads if not head.has_ended), default=inf)
            yield sorted((one for head in heads for one in head.take(bound_ms)), key=_clock)
