"""One Chroma for all tests that only use it; each has collections of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from embedded.chroma import ChromaServer
from projections.analytics.settings import AnalyticsSettings

_PREFIXES = count(1)

SettingsFactory = Callable[..., AnalyticsSettings]


def settings_at(url: str, **changed: object) -> AnalyticsSettings:
    """Settings with collections that nobody else has; what changed is written at the first tick."""
    values: dict[str, object] = {
        "chroma_url": url,
        "collection_prefix": f"test{next(_PREFIXES)}_",
        "flush_after_s": 0.05,
    }
    return AnalyticsSettings.model_validate(values | changed)


@pytest.fixture(scope="session")
async def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The server that the whole run shares."""
    async with ChromaServer(tmp_path_factory.mktemp("chroma")) as server:
        yield server.address


@pytest.fixture
def settings(chroma_url: str) -> AnalyticsSettings:
    """Settings of the shared server."""
    return settings_at(chroma_url)
