"""`interlock work`: one worker as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.exits import run
from api.cli.garbage import collect_seldom

if TYPE_CHECKING:
    from api.settings import Settings


def work(
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Serve Prometheus metrics on this port."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address that the metrics are served on.")] = "127.0.0.1",
) -> None:
    """Fold the log into the live projections until SIGTERM or Ctrl-C. Any number of workers may run.

    Example: INTERLOCK_LOG__BOOTSTRAP=kafka:9092 INTERLOCK_LIVE__REDIS_URL=redis://valkey:6379/0 interlock work
    """
    import uvloop

    from api.logs import set_up_logging
    from api.settings import load_settings

    settings = load_settings()
    set_up_logging()
    if metrics_port is not None:
        from prometheus_client import start_http_server

        start_http_server(metrics_port, addr=metrics_host)
    run(_work(settings), uvloop.new_event_loop)


async def _work(settings: Settings) -> None:
    import structlog

    from processors.app import run_worker

    collect_seldom()
    log = structlog.get_logger("interlock.worker")
    working = asyncio.ensure_future(
        run_worker(
            settings.log, settings.live, ready=lambda: log.info("the worker is up"), verify=settings.verify
        )
    )
    loop = asyncio.get_running_loop()
    for ordered in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ordered, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working
