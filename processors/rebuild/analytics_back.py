"""The set of collections that was live before the last switch made live again."""

from __future__ import annotations

from dataclasses import dataclass

from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.errors import NoWayBackError
from processors.rebuild.store_plan import records_behind
from projections.analytics.beside import SetsLock, beside
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink


@dataclass(frozen=True, slots=True)
class TurnedBack:
    """The numbers of the sets. `behind` is how many records the sink has to write into the one that is live now."""

    live: int
    before: int | None
    behind: int


async def turn_back(log: LogSettings, analytics: AnalyticsSettings) -> TurnedBack:
    """Both change places, so that another time undoes it. LockedError when another command works on these analytics.

    NoWayBackError when there was none before; LogStartGoneError when the log no longer has what it would be caught up with.
    """
    async with beside(analytics) as sets, SetsLock(sets.chroma, analytics):
        before = (await sets.sets()).before
        held = {place: one.next_offset for place, one in (await sets.checkpoints(before)).items()}
        if before is None or not held:
            raise NoWayBackError(
                "there is no set of collections to go back to: a rebuild that is made live leaves one behind"
            )
        behind = await records_behind(
            LogReader(log), AnalyticsSink.topics, held, f"set {before}", "interlock rebuild analytics"
        )
        named = await sets.make_live(before)
    return TurnedBack(named.live, named.before, behind)
