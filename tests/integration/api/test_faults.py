"""The log or the live store goes away while the API runs: bounded waits, clear answers, and back without a restart."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.cli.exits import Exit
from api.cli.status import status
from embedded.broker import BrokerServer
from embedded.kafka import KafkaServer
from events.broker import create_topics
from events.errors import EventsError
from projections.archive.settings import ArchiveSettings
from projections.history.settings import HistorySettings
from projections.live.commit import Commit
from projections.live.slots import Slot
from projections.live.store import LiveStore
from tests.cloud_events import usage
from tests.integration.api.world import World, api_alone, new_name, settings_of, worker
from tests.integration.conftest import log_server
from tests.integration.live_server import LiveServer, eventually, live_server
from tests.integration.registry_server import registry_server
from tests.integration.stopped import stop

WAITS_S = 3.0
BOUND_S = 20.0
"""Much more than any of the settings' bounds, for the machine may be busy; less than a client would wait."""
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@dataclass(slots=True)
class Place:
    """Servers of a test's own, to be killed."""

    log: BrokerServer | KafkaServer
    live: LiveServer


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A live store of a test's own, started; killed at the end."""
    async with live_server(tmp_path / "live") as server:
        yield server


@pytest.fixture
async def place(tmp_path: Path, live: LiveServer) -> AsyncIterator[Place]:
    """Both servers, started; killed at the end."""
    log = log_server(tmp_path / "log")
    await log.start()
    yield Place(log, live)
    await log.kill()


async def bounded(asking: Awaitable[httpx.Response]) -> httpx.Response:
    """The answer, which has to come within the bound."""
    started = time.monotonic()
    response = await asking
    assert time.monotonic() - started < BOUND_S
    return response


def answers(asking: Callable[[], Awaitable[httpx.Response]], status: int) -> Callable[[], Awaitable[bool]]:
    """Whether that is the answer by now."""

    async def holds() -> bool:
        return (await asking()).status_code == status

    return holds


async def created(world: World) -> None:
    """Topics, as soon as the broker takes them."""

    async def done() -> bool:
        try:
            await create_topics(world.settings.log)
        except EventsError:
            return False
        return True

    await eventually(done)


async def test_a_killed_broker_is_503_and_its_return_202(place: Place) -> None:
    """Appends say so within a bound and succeed again on the same port; reads go on meanwhile."""
    settings = settings_of(place.log.address, place.live, within_s=WAITS_S)
    await create_topics(settings.log)
    async with api_alone(settings) as world:
        await world.sent(usage())
        await place.log.kill()
        refused = await bounded(world.send(usage()))
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:interlock:problem:log-unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await bounded(world.http.get("/v1/breakers"))).status_code == 200
        strong = await bounded(world.http.get("/v1/breakers", params={"consistency": "strong"}))
        assert strong.status_code in {503, 504}
        status = (await bounded(world.http.get("/v1/status"))).json()
        assert (status["log_ends"], len(status["problems"])) == (None, 1)
        unready = await bounded(world.http.get("/health/readiness"))
        assert unready.status_code == 503
        assert {check["name"]: check["ok"] for check in unready.json()["checks"]} == {
            "log": False,
            "live": True,
            "live-writes": True,
        }
        assert (await world.http.get("/health/liveness")).status_code == 200
        await place.log.start()
        await created(world)
        await eventually(answers(lambda: world.send(usage()), 202))
        await eventually(answers(lambda: world.http.get("/health/readiness"), 200))


async def test_a_status_without_a_log_waits_once(place: Place, tmp_path: Path) -> None:
    """However many sinks there are: a broker that takes no connection and refuses none holds all questions at once."""
    sinks = {"archive": ArchiveSettings(folder=tmp_path), "history": HistorySettings(postgres_dsn=NOWHERE)}
    settings = settings_of(place.log.address, place.live, within_s=BOUND_S / 3).model_copy(update=sinks)
    await create_topics(settings.log)
    async with api_alone(settings) as world:
        assert (await world.http.get("/v1/status")).json()["problems"] == []
        await stop(place.log.child)
        status = (await bounded(world.http.get("/v1/status"))).json()
        assert (status["log_ends"], len(status["problems"])) == (None, 3)
        place.log.child.send(signal.SIGCONT)


async def test_a_status_names_what_was_folded_and_is_not_on_the_log(
    log_address: str, live: LiveServer
) -> None:
    """A lag of 0 alone would look as if all were well with a log that was replaced by an empty one."""
    settings = settings_of(log_address, live)
    await create_topics(settings.log)
    async with LiveStore(settings.live) as store, api_alone(settings) as world:
        lease = await store.acquire(Slot("usage", 1), "ann")
        await store.commit(lease, Commit({"usage": (0, 5)}, {}, (), clock_us=1))
        [problem] = (await world.http.get("/v1/status")).json()["problems"]
        assert problem.startswith("usage-1 is folded up to 5, and the log ends at 0: it was replaced")


async def test_a_killed_live_store_is_503_and_comes_back_with_its_state(
    log_address: str, live: LiveServer, tmp_path: Path
) -> None:
    """Reads say so within a bound; the worker folds the log again into the empty store, and appends go on meanwhile."""
    settings = settings_of(log_address, live, within_s=WAITS_S)
    await create_topics(settings.log)
    tenant = new_name("tenant")
    async with worker(settings, tmp_path), api_alone(settings) as world:
        await world.until_owned()
        token = await world.sent(usage(tenant, cost_usd="1"))
        assert (await world.read(f"/v1/spend/{tenant}", token))["total"]["calls"] == 1
        await live.kill()
        refused = await bounded(world.http.get(f"/v1/spend/{tenant}"))
        assert (refused.status_code, refused.json()["type"]) == (
            503,
            "urn:interlock:problem:live-unavailable",
        )
        assert int(refused.headers["retry-after"]) >= 1
        waiting = await bounded(world.http.get(f"/v1/spend/{tenant}", params={"at_least": token}))
        assert waiting.status_code == 503
        assert (await bounded(world.http.put("/v1/budgets/a/b", json={"limit_usd": "1"}))).status_code == 503
        more = await world.sent(usage(tenant, cost_usd="1"))
        unready = await bounded(world.http.get("/health/readiness"))
        assert {check["name"]: check["ok"] for check in unready.json()["checks"]} == {
            "log": True,
            "live": False,
        }
        await live.start()

        async def whole_again() -> bool:
            response = await world.http.get(f"/v1/spend/{tenant}", params={"at_least": more})
            return response.is_success and response.json()["total"]["calls"] == 2

        await eventually(whole_again)


async def test_a_full_live_store_is_degraded_and_named(log_address: str, live: LiveServer) -> None:
    """Appends and reads go on, so traffic may come; that what is read stands still is said, and ends when there is room."""
    settings = settings_of(log_address, live, within_s=WAITS_S)
    await create_topics(settings.log)
    async with api_alone(settings) as world, live.client() as client:
        await client.config_set("maxmemory", "1")
        found = await bounded(world.http.get("/health/readiness"))
        assert (found.status_code, found.json()["status"]) == (200, "degraded")
        [writes] = [check for check in found.json()["checks"] if not check["ok"]]
        assert (writes["name"], "is full, raise its maxmemory" in writes["detail"]) == ("live-writes", True)
        [problem] = (await world.http.get("/v1/status")).json()["problems"]
        assert problem.startswith("the live state stands still")
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(status, api=str(world.http.base_url), as_json=True)
        assert ended.value.code == Exit.FAILED
        assert (await world.send(usage())).status_code == 202
        await client.config_set("maxmemory", "0")
        assert (await world.http.get("/health/readiness")).json()["status"] == "ready"
        assert (await world.http.get("/v1/status")).json()["problems"] == []


async def test_the_api_starts_before_its_servers(place: Place) -> None:
    """503 until they are there, then all works; nothing has to be started again."""
    await place.log.kill()
    await place.live.kill()
    settings = settings_of(place.log.address, place.live, within_s=WAITS_S)
    async with api_alone(settings) as world:
        assert (await world.http.get("/health/liveness")).status_code == 200
        assert (await bounded(world.send(usage()))).status_code == 503
        assert (await bounded(world.http.get("/v1/breakers"))).status_code == 503
        status = (await bounded(world.http.get("/v1/status"))).json()
        assert (status["slots"], len(status["problems"])) == ([], 2)
        await place.live.start()
        await place.log.start()
        await created(world)
        await eventually(answers(lambda: world.send(usage()), 202))
        await eventually(answers(lambda: world.http.get("/v1/breakers"), 200))
        await eventually(answers(lambda: world.http.get("/health/readiness"), 200))


async def test_a_full_buffer_is_429_with_a_time_to_come_back(place: Place) -> None:
    """What waits for a log that hangs is bounded: more is told to come back, and what was taken is appended."""
    settings = settings_of(place.log.address, place.live, within_s=WAITS_S)
    await create_topics(settings.log)
    log = settings.log.model_copy(update={"max_in_flight_events": 1, "request_timeout_s": 10.0})
    async with api_alone(settings.model_copy(update={"log": log})) as world:
        await world.sent(usage())
        await stop(place.log.child)
        try:
            both = {asyncio.create_task(world.send(usage())) for _ in range(2)}
            done, taken = await asyncio.wait(both, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            place.log.child.send(signal.SIGCONT)
        [refused] = [task.result() for task in done]
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:interlock:problem:backpressure")
        assert int(refused.headers["retry-after"]) >= 1
        [appended] = [await task for task in taken]
        assert appended.status_code == 202


async def test_a_registry_that_comes_late_is_waited_for(log_address: str, api_live: LiveServer) -> None:
    """Appends are 503 until it has given the ids; meanwhile all else is answered at once."""
    settings = settings_of(log_address, api_live, within_s=WAITS_S)
    await create_topics(settings.log)
    with registry_server() as registry:
        registry.failing = 503
        with_registry = settings.log.model_copy(update={"registry_url": registry.url})
        async with api_alone(settings.model_copy(update={"log": with_registry})) as world:
            refused = await bounded(world.send(usage()))
            assert (refused.status_code, refused.json()["type"]) == (
                503,
                "urn:interlock:problem:log-unavailable",
            )
            assert "registry" in refused.json()["detail"]
            assert (await bounded(world.http.get("/v1/breakers"))).status_code == 200
            registry.failing = None
            await eventually(answers(lambda: world.send(usage()), 202))
