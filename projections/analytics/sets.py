"""Sets of collections: the live one, the one that is built beside it, and the one that was live before.

A set is told by its number, which is part of its collections' names; the first one, 0, has the plain names. Which set is
live says one collection about itself, so that all collections are switched by one write. Without it, set 0 is.
"""

from __future__ import annotations

from dataclasses import dataclass

from projections.analytics.checkpoints import CHECKPOINTS
from projections.analytics.chroma import Chroma, Metadata
from projections.analytics.documents import COLLECTIONS
from projections.analytics.places import client, full_name
from projections.analytics.settings import AnalyticsSettings

SETS = "sets"
"""Name of the collection that names the sets, after the prefix."""
_NONE = -1


@dataclass(frozen=True, slots=True)
class Sets:
    """The numbers of the sets that are known."""

    live: int = 0
    before: int | None = None
    built: int | None = None

    @property
    def free(self) -> int:
        """The number of a set that nobody knows yet."""
        return 1 + max(self.live, self.before or 0, self.built or 0)


def set_of(settings: AnalyticsSettings, number: int) -> AnalyticsSettings:
    """The settings of one set, whichever is live."""
    if number == 0:
        return settings
    return settings.model_copy(update={"collection_prefix": f"{settings.collection_prefix}{number}_"})


async def read_sets(chroma: Chroma, settings: AnalyticsSettings) -> Sets:
    """Which sets there are."""
    said = await chroma.about(full_name(settings, SETS))
    if said is None:
        return Sets()
    live, before, built = (int(said.get(name, _NONE)) for name in ("live", "before", "built"))
    return Sets(max(0, live), None if before == _NONE else before, None if built == _NONE else built)


async def name_sets(chroma: Chroma, settings: AnalyticsSettings, sets: Sets) -> None:
    """Say which sets there are, all at once. Who does so holds the lock."""
    name = full_name(settings, SETS)
    said: Metadata = {
        "holds": SETS,
        "live": sets.live,
        "before": _NONE if sets.before is None else sets.before,
        "built": _NONE if sets.built is None else sets.built,
    }
    await chroma.ensure(name, said)
    await chroma.tell(name, said)


async def drop_set(chroma: Chroma, settings: AnalyticsSettings) -> None:
    """Remove the collections of a set. The checkpoints go first: what is left without them is no set."""
    for name in (CHECKPOINTS, *COLLECTIONS):
        await chroma.drop(full_name(settings, name))


async def live_set(settings: AnalyticsSettings) -> AnalyticsSettings:
    """The settings of the set that is live now. AnalyticsUnavailableError, AnalyticsOffError."""
    chroma = client(settings, settings.request_timeout_s)
    try:
        return set_of(settings, (await read_sets(chroma, settings)).live)
    finally:
        await chroma.close()
