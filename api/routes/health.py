"""`/health`: whether the process lives, and whether it can do its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from api.ports import InPorts, Ports
from api.resources.status import CheckedDependency, Liveness, Readiness
from api.version import VERSION
from events.errors import EventsError
from events.positions import Partition
from projections.errors import ProjectionError

router = APIRouter(prefix="/health", tags=["health"])

CHECK_TIMEOUT_S = 2.0


@router.get("/liveness", summary="The process answers")
async def liveness() -> Liveness:
    """200 as long as the process answers, whatever it depends on."""
    return Liveness(version=VERSION)


@router.get(
    "/readiness",
    summary="Everything needed answers",
    responses={503: {"model": Readiness, "description": "Something that is needed does not answer."}},
)
async def readiness(ports: InPorts, response: Response) -> Readiness:
    """One check per dependency: the log to append to, the log's ends, the live store. 503 unless these answer.

    A live store that answers and takes no writes is `degraded`, and 200: appends and reads go on, of a state that stands still.
    """
    needed = [_checked("log", lambda: _log(ports)), _checked("live", lambda: _live(ports))]
    log, live, writes = await asyncio.gather(*needed, _checked("live-writes", lambda: _live_writes(ports)))
    ready = log.ok and live.ok
    response.status_code = 200 if ready else 503
    status = "unready" if not ready else "ready" if writes.ok else "degraded"
    return Readiness(status=status, checks=[log, live, writes] if live.ok else [log, live])


async def _checked(name: str, check: Callable[[], Awaitable[str]]) -> CheckedDependency:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            ok, detail = True, await check()
    except TimeoutError:
        ok, detail = False, f"did not answer within {CHECK_TIMEOUT_S:g} s"
    except (EventsError, ProjectionError) as error:
        ok, detail = False, str(error)
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return CheckedDependency(name=name, ok=ok, detail=detail, took_ms=took_ms)


async def _log(ports: Ports) -> str:
    ports.log.publisher  # noqa: B018 - raises while the broker was never reached
    await ports.log.ends.ends([Partition("usage", number) for number in range(ports.settings.log.partitions)])
    return ports.settings.log.bootstrap


async def _live_writes(ports: Ports) -> str:
    await ports.store.require_writable()
    return "taken"


async def _live(ports: Ports) -> str:
    return f"generation {await ports.store.follow()}"
