"""A worker as a process of its own: `python -m tests.integration.worker_process LOG LIVE`, settings as JSON."""

from __future__ import annotations

import asyncio
import signal
import sys

from events.settings import LogSettings
from processors.app import run_worker
from projections.settings import LiveSettings


async def work(log: LogSettings, live: LiveSettings) -> None:
    """Until SIGTERM, or until the worker has to stop."""
    working = asyncio.ensure_future(run_worker(log, live))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        working.result()


if __name__ == "__main__":
    asyncio.run(
        work(LogSettings.model_validate_json(sys.argv[1]), LiveSettings.model_validate_json(sys.argv[2]))
    )
