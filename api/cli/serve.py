"""`interlock serve`: the HTTP API as a process."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from api.cli.exits import CommandError, Exit
from api.cli.garbage import collect_seldom

GARBAGE_AFTER_OBJECTS = 30_000


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: the setting api.host.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; default: the setting api.port.")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C.

    Example: INTERLOCK_LOG__BOOTSTRAP=kafka:9092 INTERLOCK_LIVE__REDIS_URL=redis://valkey:6379/0 interlock serve
    """
    import uvicorn

    from api.app import create_app
    from api.logs import set_up_logging
    from api.settings import load_settings

    settings = load_settings()
    set_up_logging()
    config = uvicorn.Config(
        create_app(settings),
        host=host or settings.api.host,
        port=settings.api.port if port is None else port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.api.shutdown_timeout_s,
    )
    # uvicorn raises the signal that stopped it once more after a clean end: an ordered stop is a success.
    for ordered in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ordered, lambda *_: None)
    # A batch makes thousands of objects and no cycles: looking for cycles that often took a fifth of the time.
    collect_seldom(GARBAGE_AFTER_OBJECTS)
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise CommandError(f"the API could not start on {config.host}:{config.port}", Exit.UNAVAILABLE)
