"""The command line as a user runs it: processes, their output, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from tests.integration.live_server import eventually

CHECKOUT = Path(__file__).parents[2]
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 60.0
COMMAND_WITHIN_S = 180.0
GONE_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its answer, when it was asked for with --json."""
        return orjson.loads(self.out)


@dataclass(slots=True)
class Console:
    """A shell in a folder. `environment` is what a user exported, `program` what Python runs as `interlock`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "api.cli")

    def _environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        return plain | {"PYTHONPATH": str(CHECKOUT)} | self.environment

    async def start(
        self, *arguments: str, program: tuple[str, ...] | None = None
    ) -> asyncio.subprocess.Process:
        """Start `interlock ...` with its output in pipes."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *(program or self.program),
            *arguments,
            cwd=self.folder,
            env=self._environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, stdin: bytes = b"", program: tuple[str, ...] | None = None) -> Ended:
        """Run `interlock ...` to its end."""
        process = await self.start(*arguments, program=program)
        try:
            async with asyncio.timeout(COMMAND_WITHIN_S):
                out, err = await process.communicate(stdin)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def succeeds(self, *arguments: str, stdin: bytes = b"") -> Ended:
        """As `run`, of a command that has to succeed."""
        ended = await self.run(*arguments, stdin=stdin)
        assert ended.code == 0, f"{arguments}: {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    async def killed(self, moment: str, *arguments: str) -> None:
        """Run `interlock ...` up to a moment of its own and no further: `before module:name`, `after module:Class.name 2`."""
        when, call, *number = moment.split()
        program = ("-m", "tests.killed")
        ended = await self.run(when, call, *(number or ("1",)), *arguments, program=program)
        assert ended.code == -signal.SIGKILL, f"{moment} never came: {ended.code}\n{ended.out}\n{ended.err}"


@dataclass(slots=True)
class Up:
    """A running `interlock up`."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]
    children: list[psutil.Process]

    def child(self, command: str) -> psutil.Process:
        """The child that runs that command of ours, or the program of that name."""
        [found] = [child for child in self.children if command in " ".join(child.cmdline())]
        return found

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def ended(self) -> Ended:
        """How it ended, which has to be soon."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(STOPPED_WITHIN_S):
            out, err = await asyncio.gather(self.process.stdout.read(), self.process.stderr.read())
            code = await self.process.wait()
        return Ended(code, out.decode(), err.decode())

    def left(self) -> list[psutil.Process]:
        """Children that still live."""
        return psutil.wait_procs(self.children, timeout=GONE_WITHIN_S)[1]


async def published(console: Console) -> None:
    """Returns once all that the live state has decided is on the log, too."""

    async def is_so() -> bool:
        slots = (await console.succeeds("status", "--json")).json["slots"]
        return all(slot["unpublished"] == 0 for slot in slots)

    await eventually(is_so)


@asynccontextmanager
async def running(console: Console, *arguments: str) -> AsyncIterator[Up]:
    """`interlock up --json` until everything is ready; nothing of it is left behind, whatever the test does."""
    process = await console.start("up", "--json", "--port", "0", *arguments)
    known: list[psutil.Process] = []
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_WITHIN_S):
            line = await process.stdout.readline()
        if not line:
            _, err = await process.communicate()
            raise AssertionError(f"interlock up did not come up:\n{err.decode()}")
        known = psutil.Process(process.pid).children(recursive=True)
        yield Up(process, orjson.loads(line), known)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for child in known:
            if child.is_running():
                child.kill()
