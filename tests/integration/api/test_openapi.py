"""The OpenAPI document is complete, and the API keeps to it whatever it is sent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from api.app import ROUTERS
from api.cloudevents import PRODUCER_TYPES
from embedded.postgres import PostgresServer
from events.positions import Partition
from projections.history.settings import HistorySettings
from tests.integration.api.history_place import history_place
from tests.integration.api.world import World, api_alone

WITHIN_S = 100.0
EXAMPLES = 8
MOST_S = 30

# 503 and 504 are answers that the document names. That a value is refused although each field by itself is right (a
# ROLLING period without its hours, 3.0 for a count) is what the rules over several fields are for.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
"""


async def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = await world.read("/openapi.json")
    return found


async def test_every_route_says_what_it_does_and_how_it_fails(world: World) -> None:
    """A summary, a description, and for what takes input a problem for wrong values."""
    paths = (await document(world))["paths"]
    assert len(paths) >= sum(1 for router in ROUTERS for _ in router.routes) // 2
    for path, operations in paths.items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            if operation.get("parameters") or "requestBody" in operation:
                refused = operation["responses"]["422"]["content"]
                assert refused.keys() == {"application/problem+json"}, where


async def test_every_reference_of_the_document_leads_somewhere(world: World) -> None:
    """Also those into schemas that were added by hand."""
    whole = await document(world)

    def references(node: Any) -> list[str]:
        match node:
            case {"$ref": str(target)}:
                return [target]
            case dict():
                return [found for value in node.values() for found in references(value)]
            case list():
                return [found for value in node for found in references(value)]
            case _:
                return []

    known = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert set(references(whole)) <= known
    assert {f"#/components/schemas/{event.__name__}CloudEvent" for event in PRODUCER_TYPES} <= known


async def test_generated_requests_find_no_way_around_the_document(
    world: World, history_postgres: PostgresServer, tmp_path: Path
) -> None:
    """Schemathesis derives valid and invalid requests from the document and checks every answer against it."""
    async with history_place(history_postgres) as place:
        await place.sink.open(Partition("usage", 0))
        await _generate(world, place.settings, tmp_path)


async def _generate(world: World, history: HistorySettings, tmp_path: Path) -> None:
    live = world.settings.live.model_copy(update={"consistency_timeout_s": 0.2})
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with api_alone(world.settings.model_copy(update={"live": live, "history": history})) as hasty:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{hasty.http.base_url}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", "1"]
        command += ["--max-time", str(MOST_S), "--generation-database", "none", "--no-color"]
        command += ["--phases", "examples,coverage,fuzzing"]
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
