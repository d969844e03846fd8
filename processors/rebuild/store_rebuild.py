"""What the rebuilds of stores share: the log that they read, at their pace, and how they come near to what is live."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from events.codec import Codec
from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.archived_log import log_with
from processors.rebuild.pace import Pace
from processors.rebuild.paced_log import PacedLog
from processors.rebuild.rebuild import MOST_ROUNDS, NEAR_RECORDS, PACED_ROUNDS
from processors.rebuild.store_plan import StoreOptions
from processors.rebuild.store_writing import StoreWriting


@dataclass(slots=True)
class StoreRebuild:
    """`told` gets a line at each phase, `moved` (done, total, done) in records, those of the proof included."""

    log: LogSettings
    codec: Codec
    options: StoreOptions
    told: Callable[[str], None]
    moved: Callable[[int, int, int], None]
    straight: LogReader = field(init=False)
    archived: LogReader = field(init=False)
    reader: PacedLog = field(init=False)
    total: int = field(init=False, default=0)
    _done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.straight = self.archived = LogReader(self.log)
        if self.options.archive is not None:
            self.archived = log_with(self.log, self.options.archive)
        self.reader = PacedLog(self.log, self.archived, Pace(self.options.max_records_per_s))

    async def come_near(
        self, writing: StoreWriting, ends_of: Callable[[], Awaitable[Mapping[Partition, int]]]
    ) -> None:
        """Write up to where that is, until little comes in meanwhile."""
        for number in range(MOST_ROUNDS):
            if number == PACED_ROUNDS:
                self.lift_pace()
            ends = await ends_of()
            left = writing.behind(ends)
            await writing.reach(ends)
            if left <= NEAR_RECORDS:
                return

    def lift_pace(self) -> None:
        """Let it go as fast as it can."""
        if self.reader.pace.events_per_s is not None:
            self.told("goes as fast as it can from here on, to come near what is live")
        self.reader.pace = Pace(None)

    def further(self, records: int) -> None:
        """So many more are done."""
        self._done += records
        self.moved(min(self._done, self.total), self.total, self._done)

    def proving(self) -> Callable[[int, int], None]:
        """To be called with how many records are proved."""
        before = self._done

        def told(done: int, _: int) -> None:
            self.further(before + done - self._done)

        return told
