"""Which stores the log is written to, as the settings have it: the composition root of `interlock sink`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.settings import Settings
    from events.codec import Codec
    from projections.sink import Sink

NAMES = ("history", "analytics", "archive")


def sink_names(settings: Settings) -> list[str]:
    """Those whose store is configured."""
    configured = {
        "history": settings.history.postgres_dsn,
        "analytics": settings.analytics.chroma_url,
        "archive": settings.archive.folder,
    }
    return [name for name in NAMES if configured[name] is not None]


def open_sinks(settings: Settings, codec: Codec, names: Collection[str]) -> list[Sink]:
    """Those of that name. Nothing is connected yet."""
    makers: dict[str, Callable[[], Sink]] = {
        "history": lambda: _history(settings, codec),
        "analytics": lambda: _analytics(settings, codec),
        "archive": lambda: _archive(settings),
    }
    return [makers[name]() for name in names]


def _history(settings: Settings, codec: Codec) -> Sink:
    from projections.history.sink import HistorySink

    return HistorySink(settings.history, codec, settings.log)


def _analytics(settings: Settings, codec: Codec) -> Sink:
    from projections.analytics.following import FollowingSink

    return FollowingSink(settings.analytics, codec, settings.log)


def _archive(settings: Settings) -> Sink:
    from projections.archive.sink import ArchiveSink

    return ArchiveSink(settings.archive, settings.log)
