"""Documents that tell of records which the log has lost: they are dropped with all others, and built again from the log.

A window is a sum, and what the lost records had in it is no longer known. The log of an `interlock up` begins at its first
record, so all that is not lost comes again.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.positions import Partition
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoints
from projections.analytics.documents import COLLECTIONS
from projections.analytics.places import client, full_name
from projections.analytics.sets import SETS, drop_set, read_sets, set_of
from projections.analytics.settings import AnalyticsSettings


async def begin_anew_if_ahead(settings: AnalyticsSettings, ends: Mapping[Partition, int]) -> bool:
    """Drop all collections, of every set, when any document may have a record from these offsets on; whether that was so.

    `ends` says where the log ends; nobody may append to it meanwhile. A log that holds nothing is no reason: then nothing
    would come again. AnalyticsUnavailableError.
    """
    chroma = client(settings, settings.request_timeout_s)
    try:
        sets = await read_sets(chroma, settings)
        live = set_of(settings, sets.live)
        held = await Checkpoints(chroma, full_name(live, CHECKPOINTS)).all()
        ahead = any(one.reach > ends.get(place, 0) for place, one in held.items())
        if not ahead or not any(ends.values()):
            return False
        for number in (sets.before, sets.built):
            if number is not None:
                await drop_set(chroma, set_of(settings, number))
        # The checkpoints go last: broken off before, all is begun anew the next time.
        for name in (*COLLECTIONS, CHECKPOINTS):
            await chroma.drop(full_name(live, name))
        await chroma.drop(full_name(settings, SETS))
        return True
    finally:
        await chroma.close()
