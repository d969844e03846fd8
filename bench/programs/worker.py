"""One worker, as `interlock work` runs it, on the settings that it is given. Prints `ready` when it is."""

from __future__ import annotations

import signal
import sys

import structlog
import uvloop

from events.settings import LogSettings
from processors.app import run_worker
from projections.settings import LiveSettings


def ready() -> None:
    """Say so."""
    print("ready", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(
        run_worker(
            LogSettings.model_validate_json(sys.argv[1]), LiveSettings.model_validate_json(sys.argv[2]), ready
        )
    )
