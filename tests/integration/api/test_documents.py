"""What the pages for people show is what happens."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from events.breaker_transitioned import BreakerState
from tests.cloud_events import usage
from tests.integration.api.documents import DOCS, Reader, blocks, examples
from tests.integration.api.world import World, new_name, settings_of, whole_world
from tests.integration.live_server import LiveServer, eventually

pytestmark = pytest.mark.any_broker


@pytest.fixture
async def fresh(
    log_address: str, api_live: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A log without any events, as the reader of a page has it."""
    settings = settings_of(log_address, api_live)
    async with whole_world(settings, tmp_path_factory.mktemp("documents")) as running:
        yield running


async def test_every_request_in_the_documents_is_answered_as_shown(fresh: World) -> None:
    """The README's first, then those of the page about using it, in their order."""
    for page, least in ((DOCS.parent / "README.md", 3), (DOCS / "using.md", 10)):
        found = list(examples(page))
        assert len(found) >= least
        reader = Reader(fresh.http)
        for example in found:
            await reader.run(example)


async def test_the_gateway_in_the_documents_sees_a_breaker_open(world: World) -> None:
    """The Python that a gateway is told to use runs, admits, and refuses what is open."""
    [source] = [text for language, text in blocks(DOCS / "using.md") if language == "python"]
    gateway: dict[str, Any] = {}
    exec(compile(source, "using.md", "exec"), gateway)
    opened: AbstractAsyncContextManager[Any] = gateway["breakers"](world.settings.log, world.settings.live)
    deployment = f"{new_name('provider')}/m"
    async with opened as (cache, permits):
        now_us = time.time_ns() // 1000
        assert await gateway["admitted"](cache, permits, deployment, now_us)
        provider, _, model = deployment.partition("/")
        await world.sent(*(usage(provider=provider, model=model, outcome="TIMEOUT") for _ in range(5)))

        async def is_open() -> bool:
            state, _ = gateway["verdict"](cache, deployment, time.time_ns() // 1000)
            return bool(state is BreakerState.OPEN)

        await eventually(is_open)
        assert not await gateway["admitted"](cache, permits, deployment, time.time_ns() // 1000)
        later_us = now_us + 60_000_000
        assert await gateway["admitted"](cache, permits, deployment, later_us)
        assert not await gateway["admitted"](cache, permits, deployment, later_us)


async def test_the_reference_page_needs_nobody_else(world: World) -> None:
    """All that /docs loads comes from the API itself: it is there where no other server can be reached."""
    page = await world.http.get("/docs")
    loaded = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    places = [one or other for one, other in loaded]
    assert len(places) >= 3
    for place in places:
        assert place.startswith("/"), place
        assert (await world.http.get(place)).is_success, place
