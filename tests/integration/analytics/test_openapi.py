"""The routes of the analytics keep to their document also where Chroma answers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from projections.analytics.settings import AnalyticsSettings
from tests.integration.analytics.stories import hourly, outcomes, tell
from tests.integration.analytics.test_api import api_of
from tests.integration.api.test_openapi import CONFIG

WITHIN_S = 80.0
ANSWERING = CONFIG.replace('"503", ', "")
"""Nothing is away here, so 503 is a fault."""


async def test_generated_questions_are_answered_or_refused_as_documented(
    settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Schemathesis asks whatever the document allows, and what it does not."""
    await tell(settings, list(hourly("acme", range(12), 5)), [outcomes("openai", 0, 50, 50)])
    config = tmp_path / "schemathesis.toml"
    config.write_text(ANSWERING)
    async with api_of(settings) as http:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{http.base_url}/openapi.json", "--include-path-regex", "^/v1/analytics/"]
        command += ["--max-examples", "15", "--max-time", "40", "--seed", "1", "--no-color"]
        command += ["--generation-database", "none", "--phases", "examples,coverage,fuzzing"]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    report = output.decode()
    assert process.returncode == 0, report[max(report.find("FAILURES"), 0) :][:6000]
