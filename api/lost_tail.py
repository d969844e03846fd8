"""Stores that have seen records which a log put back from its archive lacks: brought back to where the log ends."""

from __future__ import annotations

from collections.abc import Callable

from api.settings import Settings
from events.catalogue import TOPICS
from events.log_ends import LogEnds
from events.positions import Partition
from events.settings import LogSettings
from projections.errors import SinkUnavailableError


async def drop_lost_tail(settings: Settings, say: Callable[[str], None]) -> None:
    """Take out of history and analytics what the log has lost, before anything is appended to it.

    Where that cannot be done the sinks notice, and write nothing to that store.
    """
    from projections.analytics.begin_anew import begin_anew_if_ahead
    from projections.history.take_back import TooMuchToTakeBackError, take_back

    ends = await _ends(settings.log)
    try:
        if settings.history.postgres_dsn is not None and (
            rows := (await take_back(settings.history, ends)).rows
        ):
            say(f"{rows:,} rows were taken back from the history: the log lost them in a kill")
        if settings.analytics.chroma_url is not None and await begin_anew_if_ahead(settings.analytics, ends):
            say("the analytics are built anew: the log lost some of their events in a kill")
    except (SinkUnavailableError, TooMuchToTakeBackError) as error:
        say(f"{error}; until then the sinks wait")


async def _ends(log: LogSettings) -> dict[Partition, int]:
    places = [Partition(topic, number) for topic in TOPICS for number in range(log.partitions)]
    async with LogEnds(log) as ends:
        return await ends.ends(places)
