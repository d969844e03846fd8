"""The command line over the API: tables for people, the API's own JSON for programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from api.rfc3339 import format_time_us
from projections.analytics.settings import AnalyticsSettings
from tests.integration.analytics.stories import HOUR_NOW_US, STATE_NOW_US, hourly, outcomes, tell
from tests.integration.analytics.test_api import api_of

NOW = format_time_us(HOUR_NOW_US)


async def interlock(url: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `interlock analytics ...`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "analytics", *arguments, "--api", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(os.environ),
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_each_command_prints_a_table_and_json(settings: AnalyticsSettings) -> None:
    """What was planted stands in the table; `--json` is what the API answers."""
    await tell(
        settings,
        [*hourly("acme", range(1, 30), 10), *hourly("acme", range(1), 300, user="bob")],
        [outcomes("openai", 30, 50, 50), outcomes("openai", 29, 100, 0), outcomes("openai", 0, 50, 50)],
    )
    at = format_time_us(STATE_NOW_US + 1)
    asked = {
        ("search", "acme bob"): "user bob, made 300 calls",
        ("anomalies", "acme", "--at", NOW): "deviations",
        ("incidents", "openai", "--at", at): "1 of 1 within the time looked at",
        ("savings", "acme", "--to", at): "nothing to save was found",
    }
    async with api_of(settings) as http:
        url = str(http.base_url)
        for arguments, expected in asked.items():
            code, table = await interlock(url, *arguments)
            assert code == 0, table
            assert expected in " ".join(table.split()), table
            code, text = await interlock(url, *arguments, "--json")
            assert code == 0, text
            assert json.loads(text)


async def test_without_analytics_the_command_says_so_and_fails() -> None:
    """The exit code of what is unavailable, and the setting by name."""
    async with api_of(AnalyticsSettings()) as http:
        code, text = await interlock(str(http.base_url), "savings", "acme")
    assert code == 3, text
    assert "INTERLOCK_ANALYTICS__CHROMA_URL" in text
