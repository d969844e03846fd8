"""The API under a real uvicorn, a worker process, and what both stand on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings, Settings
from embedded.process import Child, Launch
from events.broker import create_topics
from events.settings import LogSettings
from tests.integration.live_server import WITHIN_S, LiveServer, eventually

PARTITIONS = 2
WORKER_READY_WITHIN_S = 60.0
HASTE_S = 0.2
NOBODY = "127.0.0.1:1"
"""Where nobody listens: the log of an API that is not asked about it."""

_NAMES = count(1)


def new_name(what: str) -> str:
    """A tenant or provider that no other test has."""
    return f"{what}{next(_NAMES)}"


class InProcessServer(uvicorn.Server):
    """A server that leaves the signals to the test run."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The URL of the application while it is served."""
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = InProcessServer(config)
    serving = asyncio.create_task(server.serve())
    try:

        async def started() -> bool:
            return server.started or serving.done()

        await eventually(started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


def settings_of(log_address: str, live: LiveServer, *, within_s: float = WITHIN_S, **api: Any) -> Settings:
    """Settings with topics and keys of their own, and bounds that a busy machine keeps; `within_s` bounds what waits."""
    log = LogSettings(
        bootstrap=log_address,
        topic_prefix=f"api{os.getpid()}-{next(_NAMES)}.",
        group_id=f"api{os.getpid()}-{next(_NAMES)}",
        partitions=PARTITIONS,
        request_timeout_s=within_s,
    )
    return Settings.model_construct(
        log=log,
        live=live.settings(consistency_timeout_s=within_s),
        api=ApiSettings(**api),
        history=Settings().history,
        analytics=Settings().analytics,
    )


@asynccontextmanager
async def worker(settings: Settings, folder: Path) -> AsyncIterator[Child]:
    """A worker process."""
    environment = dict(os.environ) | {
        "INTERLOCK_LOG__BOOTSTRAP": settings.log.bootstrap,
        "INTERLOCK_LOG__TOPIC_PREFIX": settings.log.topic_prefix,
        "INTERLOCK_LOG__GROUP_ID": settings.log.group_id,
        "INTERLOCK_LOG__PARTITIONS": str(settings.log.partitions),
        "INTERLOCK_LIVE__REDIS_URL": settings.live.redis_url,
        "INTERLOCK_LIVE__NAMESPACE": settings.live.namespace,
    }
    argv = [sys.executable, "-m", "api.cli", "work"]
    child = await Child.spawn("worker", Launch(argv, environment), folder / "worker.log")
    try:
        yield child
    finally:
        await child.stop()


@dataclass(slots=True)
class World:
    """One API with all that it needs. Reads wait for what was written when they are given its positions."""

    settings: Settings
    http: httpx.AsyncClient

    async def send(self, *items: dict[str, Any]) -> httpx.Response:
        """Append CloudEvents as a batch."""
        return await self.http.post("/v1/events", json=list(items))

    async def sent(self, *items: dict[str, Any]) -> str:
        """As `send`, and the token of the answer."""
        response = await self.send(*items)
        assert response.status_code == 202, response.text
        return str(response.json()["token"])

    async def read(self, path: str, at_least: str | None = None, **query: Any) -> Any:
        """The JSON of a resource, read after the positions."""
        params = query | ({"at_least": at_least} if at_least else {})
        response = await self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def put(self, path: str, body: dict[str, Any]) -> str:
        """The positions that an accepted change answers."""
        response = await self.http.put(path, json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["positions"])

    async def until_published(self) -> None:
        """Returns once all that the live state has decided is on the log, too."""

        async def published() -> bool:
            slots = (await self.http.get("/v1/status")).json()["slots"]
            return all(slot["unpublished"] == 0 for slot in slots)

        await eventually(published)

    async def until_owned(self) -> None:
        """Returns once a worker has taken every slot."""

        async def owned() -> bool:
            slots = (await self.http.get("/v1/status")).json()["slots"]
            return bool(slots) and all(slot["owner"] for slot in slots)

        await eventually(owned, WORKER_READY_WITHIN_S)


@asynccontextmanager
async def api_alone(settings: Settings) -> AsyncIterator[World]:
    """The API without a worker."""
    async with AsyncExitStack() as resources:
        url = await resources.enter_async_context(served(create_app(settings)))
        http = await resources.enter_async_context(httpx.AsyncClient(base_url=url, timeout=2 * WITHIN_S))
        yield World(settings, http)


@asynccontextmanager
async def hasty(world: World, **replaced: Any) -> AsyncIterator[World]:
    """An API beside that of a world, which does not wait for what a read asks for."""
    live = world.settings.live.model_copy(update={"consistency_timeout_s": HASTE_S})
    async with api_alone(world.settings.model_copy(update={"live": live} | replaced)) as beside:
        yield beside


@asynccontextmanager
async def whole_world(settings: Settings, folder: Path) -> AsyncIterator[World]:
    """The API with a worker, once everything answers."""
    await create_topics(settings.log)
    async with worker(settings, folder), api_alone(settings) as world:
        await world.until_owned()
        yield world
