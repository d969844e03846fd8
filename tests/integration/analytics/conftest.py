"""Collections of the shared Chroma, for the tests of the analytics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

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


@pytest.fixture
def settings(chroma_url: str) -> AnalyticsSettings:
    """Settings of the shared server."""
    return settings_at(chroma_url)
