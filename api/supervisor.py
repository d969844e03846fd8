"""Everything on one machine: the embedded servers, the workers, the sinks and the API, started, watched and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from api.addresses import Addresses, remove_addresses, write_addresses
from api.lost_tail import drop_lost_tail
from api.restored import archive_of, restore_log
from api.settings import NONE, Settings
from api.sinks import sink_names
from embedded.errors import EmbeddedError
from embedded.ports import free_port
from embedded.process import Child, Launch
from embedded.stack import EmbeddedStack, Part
from events.broker import create_topics
from projections.archive.restore_plan import CannotRestoreError

READY_WITHIN_S = 60.0
PROBE_EVERY_S = 0.1
STOP_WITHIN_S = 12.0
DRAINED_WITHIN_S = 20.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
RESTARTS_PER_MINUTE = 5
SINKS = "sinks"
_COMMANDS = {"api": "serve", SINKS: "sink"}


class PartFailedError(Exception):
    """A part ended by itself or did not come up; the message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `parts` are embedded servers; the log and the live store are always among them."""

    data: Path
    settings: Settings
    workers: int
    parts: frozenset[Part]


@dataclass(slots=True)
class Supervisor:
    """Runs a plan until it is told to stop or a part fails. `say` gets what a person wants to know, line by line."""

    plan: Plan
    say: Callable[[str], None]
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _children: dict[str, Child] = field(default_factory=dict)
    _restarts: deque[float] = field(default_factory=deque)

    def stop(self) -> None:
        """Stop in order; asked for again, at once."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def run(self, ready: Callable[[Addresses], None]) -> None:
        """Returns after an ordered stop; PartFailedError when a part failed. Nothing runs on in either case.

        `ready` is called once everything answers.
        """
        loop = asyncio.get_running_loop()
        for ordered in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ordered, self.stop)
        stack = EmbeddedStack(self.plan.data, self.plan.parts | {Part.BROKER, Part.VALKEY})
        try:
            await self._until_stopped(self._start_and_watch(stack, ready))
        finally:
            self._stop.set()
            remove_addresses(self.plan.data, os.getpid())
            await self._stop_all(stack)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work until it fails or the stop is asked for."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _start_and_watch(self, stack: EmbeddedStack, ready: Callable[[Addresses], None]) -> None:
        await stack.start()
        settings = self._settings(stack)
        await create_topics(settings.log)
        await restore_log(settings.archive, settings.log, self.say)
        await drop_lost_tail(settings, self.say)
        environment = _environment(settings, self.plan.data)
        names = ["api", *(f"worker-{number}" for number in range(1, self.plan.workers + 1))]
        if sink_names(settings):
            names.append(SINKS)
        for name in names:
            await self._spawn(name, environment)
        url = f"http://{settings.api.host}:{settings.api.port}"
        watches = [asyncio.ensure_future(self._watch(name, environment)) for name in names]
        watches.append(asyncio.ensure_future(_watch_servers(stack)))
        answering = asyncio.ensure_future(self._answering(url))
        try:
            await _first_of(answering, *watches)
            addresses = _addresses(url, settings, stack)
            write_addresses(self.plan.data, addresses)
            ready(addresses)
            await _first_of(*watches)
        finally:
            for task in (answering, *watches):
                task.cancel()

    def _settings(self, stack: EmbeddedStack) -> Settings:
        """The plan's settings with the addresses of the servers, and a free port for an API whose port is 0."""
        given, at = self.plan.settings, stack.addresses
        return given.model_copy(
            update={
                "log": given.log.model_copy(update={"bootstrap": at.broker, "replication_factor": 1}),
                "live": given.live.model_copy(update={"redis_url": at.valkey, "topology": "single"}),
                "api": given.api.model_copy(update={"port": given.api.port or free_port()}),
                "history": given.history.model_copy(update={"postgres_dsn": at.postgres}),
                "analytics": given.analytics.model_copy(update={"chroma_url": at.chroma}),
                "archive": archive_of(given, self.plan.data),
            }
        )

    async def _spawn(self, name: str, environment: Mapping[str, str]) -> None:
        command = _COMMANDS.get(name, "work")
        folder = self.plan.data / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "api.cli", command]
        self._children[name] = await Child.spawn(name, Launch(argv, environment), folder / f"{name}.log")

    async def _watch(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a worker or the sinks again when they end, not too often; the API's end is everything's end."""
        pause_s = FIRST_PAUSE_S
        while True:
            child = self._children[name]
            code = await child.wait()
            what = f"{name} ended with {_exit_text(code)}"
            if name == "api" or not self._may_restart():
                raise PartFailedError(f"{what}; the end of {child.log_path}:\n{child.log_tail()}")
            self.say(f"{what}; it is started again in {pause_s:g} s, see {child.log_path}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await self._spawn(name, environment)

    def _may_restart(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._restarts.append(now)
        while now - self._restarts[0] > 60:
            self._restarts.popleft()
        return len(self._restarts) <= RESTARTS_PER_MINUTE

    async def _answering(self, url: str) -> None:
        """Returns once the API is ready and every slot has its worker."""
        try:
            async with asyncio.timeout(READY_WITHIN_S), httpx.AsyncClient(base_url=url, timeout=5) as client:
                while not await _is_ready(client):  # noqa: ASYNC110 - over HTTP there is no event to wait for
                    await asyncio.sleep(PROBE_EVERY_S)
        except TimeoutError:
            tails = "\n".join(f"{name}: {child.log_tail(5)}" for name, child in self._children.items())
            raise PartFailedError(f"not everything was ready within {READY_WITHIN_S:g} s\n{tails}") from None

    async def _stop_all(self, stack: EmbeddedStack) -> None:
        """In the order of who needs whom: API, workers, servers. In a hurry, all at once by force."""
        ordered = asyncio.ensure_future(self._stop_in_order(stack))
        hurried = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({ordered, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ordered.done():
            ordered.cancel()
            with suppress(asyncio.CancelledError):
                await ordered
            await asyncio.gather(*(child.kill() for child in self._children.values()))
            for part in Part:
                with suppress(KeyError):
                    await stack.server(part).kill()
        await stack.stop()

    async def _stop_in_order(self, stack: EmbeddedStack) -> None:
        api = self._children.get("api")
        if api is not None:
            await api.stop(STOP_WITHIN_S)
        others = [child for name, child in self._children.items() if name != SINKS]
        await asyncio.gather(*(child.stop(STOP_WITHIN_S) for child in others))
        if SINKS in self._children:
            # Last, and in its own time: it still writes what the log holds.
            await self._children[SINKS].stop(DRAINED_WITHIN_S)
        await stack.stop()


async def _first_of(*tasks: asyncio.Future[None]) -> None:
    """Returns when the first has ended; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        await task


async def _watch_servers(stack: EmbeddedStack) -> None:
    ended = await stack.wait_exit()
    code = _exit_text(ended.exit_code)
    raise PartFailedError(f"{ended.part} ended with {code}; the end of {ended.log_path}:\n{ended.log_tail}")


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        if not (await client.get("/health/readiness")).is_success:
            return False
        slots = (await client.get("/v1/status")).json()["slots"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    return bool(slots) and all(slot["owner"] for slot in slots)


def _environment(settings: Settings, data: Path) -> dict[str, str]:
    """What a child is told: the environment of this process, with the addresses of the servers, and of no others."""
    told = {
        "INTERLOCK_DATA": str(data),
        "INTERLOCK_LOG__BOOTSTRAP": settings.log.bootstrap,
        "INTERLOCK_LIVE__REDIS_URL": settings.live.redis_url,
        "INTERLOCK_API__HOST": settings.api.host,
        "INTERLOCK_API__PORT": str(settings.api.port),
        "INTERLOCK_ARCHIVE__FOLDER": str(settings.archive.folder),
        "INTERLOCK_ARCHIVE__SEGMENT_AGE_S": str(settings.archive.segment_age_s),
        "INTERLOCK_HISTORY__POSTGRES_DSN": settings.history.postgres_dsn or NONE,
        "INTERLOCK_ANALYTICS__CHROMA_URL": settings.analytics.chroma_url or NONE,
    }
    return dict(os.environ) | told


def _addresses(url: str, settings: Settings, stack: EmbeddedStack) -> Addresses:
    at = stack.addresses
    sections = {
        "log": {"bootstrap": at.broker},
        "live": {"redis_url": at.valkey},
        "history": {"postgres_dsn": at.postgres} if at.postgres else {},
        "analytics": {"chroma_url": at.chroma} if at.chroma else {},
        "archive": {"folder": str(settings.archive.folder)},
        "api": {"host": settings.api.host, "port": settings.api.port},
    }
    named = {"log": at.broker, "live": at.valkey, "history": at.postgres, "analytics": at.chroma}
    servers = {name: address for name, address in named.items() if address}
    return Addresses(os.getpid(), url, {name: part for name, part in sections.items() if part}, servers)


def _exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"


FAILURES = (PartFailedError, EmbeddedError, CannotRestoreError)
"""What `Supervisor.run` raises when something could not be run on."""
