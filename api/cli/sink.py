"""`interlock sink`: the log written to other stores, as a process."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.exits import CommandError, Exit, run
from api.sinks import NAMES, sink_names

if TYPE_CHECKING:
    from api.settings import Settings


def sink(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Of {', '.join(NAMES)}; default: all whose store is configured."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Serve Prometheus metrics on this port."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address that the metrics are served on.")] = "127.0.0.1",
) -> None:
    """Write the log to history, analytics and archive until SIGTERM or Ctrl-C. Any number of processes may run.

    Example: INTERLOCK_HISTORY__POSTGRES_DSN=postgresql://user@host/db interlock sink history
    """
    import uvloop

    from api.logs import set_up_logging
    from api.settings import load_settings

    settings = load_settings()
    chosen = _chosen(settings, names or [])
    set_up_logging()
    if metrics_port is not None:
        from prometheus_client import start_http_server

        start_http_server(metrics_port, addr=metrics_host)
    run(_sink(settings, chosen), uvloop.new_event_loop)


def _chosen(settings: Settings, names: list[str]) -> list[str]:
    if unknown := [name for name in names if name not in NAMES]:
        raise CommandError(f"no sink {', '.join(unknown)}: there are {', '.join(NAMES)}", Exit.USAGE)
    configured = sink_names(settings)
    if missing := [name for name in names if name not in configured]:
        wanted = ", ".join(_SETTING[name] for name in missing)
        raise CommandError(f"{', '.join(missing)} has no store: set {wanted}", Exit.USAGE)
    if not configured:
        raise CommandError(f"no store is configured: set one of {', '.join(_SETTING.values())}", Exit.USAGE)
    return names or configured


async def _sink(settings: Settings, names: list[str]) -> None:
    import structlog

    from api.sinks import open_sinks
    from events.codec import open_codec
    from processors.sinks.app import run_sinks
    from processors.sinks.compacting import compact_now_and_then

    log = structlog.get_logger("interlock.sink")
    codec = open_codec(settings.log)
    stopping = asyncio.Event()
    for ordered in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ordered, stopping.set)
    sinks = open_sinks(settings, codec, names)
    beside = [asyncio.ensure_future(compact_now_and_then(settings.archive))] if "archive" in names else []
    try:
        await run_sinks(settings.log, sinks, stopping, lambda: log.info("the sinks are up", sinks=names))
    finally:
        for task in beside:
            task.cancel()


_SETTING = {
    "history": "INTERLOCK_HISTORY__POSTGRES_DSN",
    "analytics": "INTERLOCK_ANALYTICS__CHROMA_URL",
    "archive": "INTERLOCK_ARCHIVE__FOLDER",
}
