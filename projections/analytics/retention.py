"""How long documents are kept: by the start of their window, for each collection a time of its own."""

from __future__ import annotations

from projections.analytics.chroma import Chroma
from projections.analytics.documents import COLLECTIONS
from projections.analytics.places import full_name
from projections.analytics.settings import AnalyticsSettings

DAY_US = 86_400_000_000
DELETED_AT_ONCE = 2_000


def cutoffs_us(settings: AnalyticsSettings, now_us: int) -> dict[str, int]:
    """By collection: windows that start before are not kept."""
    return {name: now_us - int(getattr(settings.retention, f"{name}_days")) * DAY_US for name in COLLECTIONS}


async def delete_expired(chroma: Chroma, settings: AnalyticsSettings, now_us: int) -> int:
    """Delete some of what is past its time; how many documents. Zero: there is no more."""
    deleted = 0
    for name, oldest_us in cutoffs_us(settings, now_us).items():
        collection = full_name(settings, name)
        expired = await chroma.matching(collection, {"window_us": {"$lt": oldest_us}}, DELETED_AT_ONCE)
        await chroma.delete(collection, [one.id for one in expired])
        deleted += len(expired)
    return deleted
