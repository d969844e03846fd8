"""Requests that Schemathesis derives from the OpenAPI document, valid and invalid ones; every answer is held to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

WITHIN_S = 250.0
"""Much more than it takes, for the machine may be busy."""

# 504 is an answer that the document names. That a value is refused although each field by itself is right (a ROLLING
# period without its hours, 3.0 for a count) is what the rules over several fields are for.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", {also}]
"""


async def hold_to_document(
    url: str, folder: Path, examples: int, also: tuple[int, ...], *options: str
) -> None:
    """Ask so many generated examples of each route, and those of its limits; `also` are fine answers beside 4xx."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(also=", ".join(f'"{status}"' for status in also)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"{url}/openapi.json", "--max-examples", str(examples), "--seed", "1", "--no-color"]
    command += ["--generation-database", "none", "--phases", "examples,coverage,fuzzing", *options]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    report = output.decode()
    assert process.returncode == 0, report[max(report.find("FAILURES"), 0) :][:6000]
