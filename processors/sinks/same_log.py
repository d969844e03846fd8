"""Whether a store was written from the log that is there, and not from one that was lost or replaced."""

from __future__ import annotations

from dataclasses import dataclass

from events.log_ends import LogEnds
from events.positions import Partition
from events.reader import LogReader
from projections.errors import LogReplacedError
from projections.tip import Tip, tip_at


@dataclass(frozen=True, slots=True)
class SameLog:
    """The log as the store of that name may have been written from."""

    name: str
    reader: LogReader
    ends: LogEnds

    async def check(self, place: Partition, offset: int, tip: Tip | None) -> None:
        """LogReplacedError when the store goes beyond the log's end, or its last record is another one there.

        A record that the log no longer holds tells nothing.
        """
        reach = offset if tip is None else max(offset, tip.offset + 1)
        end = (await self.ends.ends([place]))[place]
        if reach > end:
            raise LogReplacedError(
                f"{self.name} has {place} up to {reach}, and the log ends at {end}: give it the log back "
                "(an archive restores it), or an empty store"
            )
        there = None if tip is None else await tip_at(self.reader, place, tip.offset)
        if there not in {None, tip}:
            raise LogReplacedError(
                f"{self.name} was written from another log: before {reach} of {place} it had another record. "
                "Give it that log back (an archive restores it), or an empty store"
            )
