"""A sink at work on the log of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from events.settings import LogSettings
from processors.sinks.runner import SinkRunner
from projections.sink import Sink


@asynccontextmanager
async def at_work(log: LogSettings, sink: Sink) -> AsyncIterator[None]:
    """It ends with all that the log has."""
    runner = SinkRunner(log, sink)
    task = asyncio.create_task(runner.run())
    try:
        yield
        runner.stop()
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await sink.close()
