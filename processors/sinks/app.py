"""All sinks of one process, beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from events.settings import LogSettings
from processors.sinks.runner import SinkRunner
from projections.sink import Sink


async def run_sinks(
    settings: LogSettings, sinks: Sequence[Sink], stopping: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Write the log to every sink until `stopping`; each ends with all that the log held then. Closes the sinks."""
    runners = [SinkRunner(settings, sink) for sink in sinks]
    running = [asyncio.create_task(runner.run(), name=runner.sink.name) for runner in runners]
    ordered = asyncio.create_task(stopping.wait())
    ready()
    try:
        await asyncio.wait({ordered, *running}, return_when=asyncio.FIRST_COMPLETED)
        for runner in runners:
            runner.stop()
        await asyncio.gather(*running)
    finally:
        for task in (ordered, *running):
            task.cancel()
        await asyncio.wait({ordered, *running})
        for sink in sinks:
            await sink.close()
