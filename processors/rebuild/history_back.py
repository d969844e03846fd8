"""The history that was live before the last switch made live again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from events.catalogue import TOPICS
from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.errors import LogStartGoneError, NoWayBackError
from projections.history.beside import before_of, beside
from projections.history.database import Database
from projections.history.settings import HistorySettings


@dataclass(frozen=True, slots=True)
class TurnedBack:
    """`behind` is how many records the sink has to write into the schema that is live now."""

    schema: str
    behind: int


async def turn_back(log: LogSettings, history: HistorySettings) -> TurnedBack:
    """Both change places, so that another time undoes it. SchemaBusyError when another command works on this history.

    NoWayBackError when there was none before; LogStartGoneError when the log no longer has what it would be caught up with.
    """
    async with beside(history) as schemas:
        if not await schemas.is_there(schemas.before):
            raise NoWayBackError(
                f"there is no schema {schemas.before} to go back to: a rebuild that is made live leaves it behind"
            )
        await Database(before_of(history)).migrate()
        behind = await _behind(log, schemas.before, await schemas.positions(schemas.before))
        async with schemas.standing_still():
            await schemas.turn_back()
    return TurnedBack(schemas.live, behind)


async def _behind(log: LogSettings, schema: str, held: Mapping[Partition, int]) -> int:
    behind = 0
    for topic in TOPICS:
        for number, on_log in (await LogReader(log).ranges(topic)).items():
            place = Partition(topic, number)
            at = held.get(place, 0)
            if at < on_log.start:
                raise LogStartGoneError(
                    f"{schema} holds {place} up to {at}, and the log begins at {on_log.start} by now: what lies between would "
                    "be missing. Rebuild it: `interlock rebuild history --archive DIR`"
                )
            behind += max(0, on_log.end - at)
    return behind
