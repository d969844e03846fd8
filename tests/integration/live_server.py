"""A real Valkey for the tests of the live store: killed, paused and started again at will."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from redis.asyncio import Redis

from embedded.process import Child, Launch
from embedded.valkey import ValkeyServer
from projections.settings import LiveSettings

_NAMESPACES = count(1)
WITHIN_S = 30.0
"""How long a test waits for what it asserts: much longer than it takes, for the machine may be busy."""


async def asked_again(asked_s: float) -> float:
    """Pause after a question about what happens elsewhere: briefly where asking was quick, and never all of the processor is
    left to asking. When the next is asked, by the clock of this process.
    """
    took_s = time.monotonic() - asked_s
    await asyncio.sleep(min(max(0.005, 3 * took_s), 0.1))
    return time.monotonic()


async def eventually(condition: Callable[[], Awaitable[object]], within_s: float = WITHIN_S) -> None:
    """Returns once the condition holds; AssertionError when it does not in time."""
    asked_s = time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                asked_s = await asked_again(asked_s)
    except TimeoutError:
        raise AssertionError(f"{condition} did not hold within {within_s} s") from None


async def until(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """As `eventually`, of a condition that needs no waiting."""

    async def holds() -> object:
        return condition()

    await eventually(holds, within_s)


class LiveServer(ValkeyServer):
    """The embedded server with options of the test's choice after its own."""

    options: tuple[str, ...] = ()

    def launch(self) -> Launch:
        launch = super().launch()
        return replace(launch, argv=[*launch.argv, *self.options])

    def settings(self, **changed: object) -> LiveSettings:
        """Settings with a namespace of their own, so that tests share the server, and bounds that a busy machine keeps."""
        values: dict[str, object] = {
            "redis_url": self.address,
            "namespace": f"test{next(_NAMESPACES)}",
            "connect_timeout_s": 10.0,
            "command_timeout_s": 10.0,
            "retry_min_s": 0.01,
            "retry_max_s": 0.1,
            "consistency_timeout_s": WITHIN_S,
        }
        return LiveSettings.model_validate(values | changed)

    def client(self) -> Redis:
        """A plain client, to look at the server past the store."""
        return Redis(port=self.port)

    async def start_to_load(self) -> None:
        """Start it without waiting until it has read its data."""
        self._child = await Child.spawn(self.name, self.launch(), self.log_path)

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self.child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """It answers again, also what it was asked meanwhile."""
        self.child.send(signal.SIGCONT)


@asynccontextmanager
async def live_server(folder: Path, *options: str) -> AsyncIterator[LiveServer]:
    """A started server; killed at the end."""
    server = LiveServer(folder)
    server.options = options
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@asynccontextmanager
async def live_cluster(folder: Path) -> AsyncIterator[LiveServer]:
    """A cluster of one server, which checks as any cluster does that the keys of a call share a hash slot."""
    async with live_server(folder, "--cluster-enabled", "yes") as server, server.client() as client:
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]

        async def is_up() -> bool:
            return b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]

        await eventually(is_up)
        yield server
