"""What a rebuild says of the records that the new schema of the history has refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.positions import Partition
from events.settings import LogSettings
from processors.rebuild.bad_records import BadRecord, Place
from processors.rebuild.errors import BadRecordError
from projections.history.beside import Beside


@dataclass(slots=True)
class HistoryJudge:
    """`letters` are the records that workers have dead-lettered, `skipped` those that were refused here and nowhere before."""

    log: LogSettings
    schemas: Beside
    letters: frozenset[Place]
    skips: bool
    skipped: list[BadRecord] = field(default_factory=list)

    async def judge(self, place: Partition, start: int) -> None:
        """A record that was refused before, by a worker or by the live history, is part of history; another is news."""
        name = self.log.full_name(place.topic)
        for one in await self.schemas.newly_refused(place, start):
            if (name, place.number, one.offset) in self.letters:
                continue
            bad = BadRecord(name, place.number, one.offset, one.reason, one.detail, was_lettered=False)
            if not self.skips:
                raise BadRecordError(
                    f"{bad}; neither has a worker made a dead letter of it, nor the live history refused it. Mend the cause and "
                    "begin again with --anew, or go on with such records in the table `refused` with --skip-bad"
                )
            self.skipped.append(bad)
