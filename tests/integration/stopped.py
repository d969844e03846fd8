"""A server that keeps its connections and answers nothing, until SIGCONT: then all at once."""

from __future__ import annotations

import signal
from pathlib import Path

from embedded.process import Child
from tests.integration.live_server import until


async def stop(child: Child) -> None:
    """Return when each of its threads stands still: on a busy machine one may still answer after the signal was sent."""
    child.send(signal.SIGSTOP)
    await until(lambda: all(_state(thread) == "T" for thread in Path(f"/proc/{child.pid}/task").iterdir()))


def _state(thread: Path) -> str:
    """As proc(5) has it, behind a name that may hold anything."""
    return (thread / "stat").read_text().rpartition(") ")[2][0]
