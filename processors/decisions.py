"""The decisions of a slot have one writer, its owner: who finds another's among them has lost the slot meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import InvalidEventError
from events.positions import Partition, Position
from events.reader import LogReader, Range
from processors.retry import until_done
from projections.errors import StaleCheckpointError
from projections.live.outbox import OutboxEntry
from projections.live.slots import PROVIDER_LEAD, Slot

DECISIONS = "breakers"
"""The derived topic of which a slot's partition has one writer: its owner. Of each version the first record counts."""

LOOKS_EVERY_S = 10.0

HELD_UP_AFTER_S = 4.0
"""An owner that did nothing for so long was held up, for it looks at an idle slot more often: others may have had the slot."""

NEVER = float("-inf")


@dataclass(slots=True)
class Decisions:
    """Those of a slot since it was opened. Once they are watched, others' are a StaleCheckpointError."""

    slot: Slot
    codec: Codec
    reader: LogReader
    is_watched: bool = False
    _end: int = 0
    _looked_s: float = NEVER
    _alive_s: float = NEVER

    async def begin(self) -> None:
        """What the log has by now was decided by those before."""
        self._end = (await until_done("log", self._held)).end
        self._looked_s = self._alive_s = asyncio.get_running_loop().time()

    def alive(self) -> float:
        """The time now. Who was held up has seen nothing of late."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._alive_s > HELD_UP_AFTER_S:
            self._looked_s = NEVER
        self._alive_s = now_s
        return now_s

    async def look_now_and_then(self) -> None:
        """Look whether others have appended some, when that is due."""
        if self.alive() - self._looked_s > LOOKS_EVERY_S:
            await self._look()

    async def look_before(self, outbox: Sequence[OutboxEntry]) -> None:
        """Look before more are decided, when nothing was seen of late."""
        if self._looked_s == NEVER and any(entry.topic == DECISIONS for entry in outbox):
            await self._look()

    async def told_of(self, outbox: Sequence[OutboxEntry]) -> frozenset[bytes]:
        """Those of an outbox that the log has already, by whoever: of each version the first counts, so no second is told."""
        topic, found = TOPICS[DECISIONS], set[str]()
        wanted = {
            entry.value: self.codec.decode(topic, entry.value).event_id
            for entry in outbox
            if entry.topic == DECISIONS
        }
        if wanted:
            async for _, records in self.reader.read(DECISIONS, {self.slot.partition: await self._held()}):
                for record in records:
                    with suppress(InvalidEventError):
                        found.add(self.codec.decode(topic, record.value).event_id)
        return frozenset(value for value, event_id in wanted.items() if event_id in found)

    def note(self, appended: Sequence[Position]) -> None:
        """What was appended follows on what was there, or others have come between."""
        ends = [one.offset for one in appended if one.topic == DECISIONS]
        if ends and self.is_watched and ends != list(range(self._end + 1, ends[-1] + 1)):
            raise self._stale()
        self._end = max((self._end, *ends))

    async def _look(self) -> None:
        if self.is_watched and (await until_done("log", self._held)).end != self._end:
            raise self._stale()
        self._looked_s = self.alive()

    async def _held(self) -> Range:
        """What the log holds of them; of a slot that decides nothing, nothing."""
        if self.slot.lead != PROVIDER_LEAD:
            return Range(0, 0)
        return await self.reader.range_of(Partition(DECISIONS, self.slot.partition))

    def _stale(self) -> StaleCheckpointError:
        return StaleCheckpointError(
            f"{self.slot}: another owner has appended decisions: acquire the slot again"
        )
