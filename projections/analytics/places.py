"""Which server, and which collections on it."""

from __future__ import annotations

from projections.analytics.chroma import Chroma
from projections.analytics.embedding import Vectors
from projections.analytics.errors import AnalyticsOffError, AnalyticsUnavailableError, VectorsDifferError
from projections.analytics.settings import AnalyticsSettings


def client(settings: AnalyticsSettings, timeout_s: float) -> Chroma:
    """A client of the server that the settings name; AnalyticsOffError when they name none."""
    if settings.chroma_url is None:
        raise AnalyticsOffError(
            "no analytics are configured: set INTERLOCK_ANALYTICS__CHROMA_URL to a Chroma server, http://host:port"
        )
    return Chroma(settings.chroma_url, timeout_s)


def full_name(settings: AnalyticsSettings, collection: str) -> str:
    """The collection's name on the server."""
    return settings.collection_prefix + collection


async def prepare(chroma: Chroma, settings: AnalyticsSettings, collection: str, vectors: Vectors) -> None:
    """Make the collection when it is not there; VectorsDifferError when its vectors are of another making."""
    name = full_name(settings, collection)
    said = await chroma.ensure(name, {"holds": collection, "vectors": vectors.name})
    if said.get("vectors") != vectors.name:
        raise VectorsDifferError(
            f"{name} holds vectors of {said.get('vectors')!r}, and the settings ask for {vectors.name!r}: have others "
            "built with `interlock rebuild analytics --anew`, or set INTERLOCK_ANALYTICS__EMBEDDING_FOLDER as it was"
        )


async def look(chroma: Chroma, settings: AnalyticsSettings, collection: str, vectors: Vectors) -> None:
    """See that a reader can use the collection: AnalyticsUnavailableError when it is not there, VectorsDifferError."""
    name = full_name(settings, collection)
    said = await chroma.about(name)
    if said is None:
        raise AnalyticsUnavailableError(f"there is no {name} yet: `interlock sink analytics` fills it")
    if said.get("vectors") != vectors.name:
        raise VectorsDifferError(
            f"{name} holds vectors of {said.get('vectors')!r}, and these settings make {vectors.name!r}: set "
            "INTERLOCK_ANALYTICS__EMBEDDING_FOLDER as the sink has it"
        )
