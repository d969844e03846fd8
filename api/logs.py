"""Logging, set up once per process: lines for people on a terminal, JSON for machines; always to stderr."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

QUIET = ("aiokafka", "faust", "mode", "httpx", "httpcore", "kafka", "asyncio", "uvicorn.access")
"""Libraries that say at INFO what only their authors need."""

_IDEMPOTENCE_PROBE = "Unexpected error during InitProducerIdRequest"


class _NotTheProbe(logging.Filter):
    """The publisher asks a broker whether it has idempotent producers; that one has none is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_IDEMPOTENCE_PROBE)


def set_up_logging(level: str = "INFO") -> None:
    """Send our own and the libraries' logging through one pipeline."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers()],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiokafka.producer.sender").addFilter(_NotTheProbe())


def _renderers() -> list[Processor]:
    if sys.stderr.isatty():
        # The plain formatter: the pretty one prints every local variable, for seconds.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
