"""The OpenAPI document is complete, and the API keeps to it whatever it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.app import ROUTERS
from api.cloudevents import PRODUCER_TYPES
from embedded.postgres import PostgresServer
from events.positions import Partition
from tests.integration.api.generated import hold_to_document
from tests.integration.api.history_place import history_place
from tests.integration.api.world import World, hasty

pytestmark = pytest.mark.any_broker


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
    world: World, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Whatever the document allows, and what it does not, of every route; Chroma is not there, which it allows for."""
    async with history_place(postgres) as place:
        await place.sink.open(Partition("usage", 0))
        async with hasty(world, history=place.settings) as impatient:
            await hold_to_document(
                str(impatient.http.base_url).rstrip("/"), tmp_path, 3, (503, 504), "--max-time", "20"
            )
