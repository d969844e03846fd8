"""The history that was live before the last switch made live again."""

from __future__ import annotations

from dataclasses import dataclass

from events.catalogue import TOPICS
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.errors import NoWayBackError
from processors.rebuild.store_plan import records_behind
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
        held = await schemas.positions(schemas.before)
        behind = await records_behind(
            LogReader(log), TOPICS, held, schemas.before, "interlock rebuild history"
        )
        async with schemas.standing_still():
            await schemas.turn_back()
    return TurnedBack(schemas.live, behind)
