"""The routes of the analytics keep to their document also where Chroma answers."""

from __future__ import annotations

from pathlib import Path

from projections.analytics.settings import AnalyticsSettings
from tests.integration.analytics.stories import hourly, outcomes, tell
from tests.integration.analytics.test_api import api_of
from tests.integration.api.generated import hold_to_document


async def test_generated_questions_are_answered_or_refused_as_documented(
    settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Whatever the document allows, and what it does not. Nothing is away here, so 503 is a fault."""
    await tell(settings, list(hourly("acme", range(12), 5)), [outcomes("openai", 0, 50, 50)])
    only = ("--include-path-regex", "^/v1/analytics/")
    async with api_of(settings) as http:
        await hold_to_document(str(http.base_url).rstrip("/"), tmp_path, 5, (504,), *only)
