"""Keep trying while a dependency is away: bounded waits that grow, with jitter, and a line in the log each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from events.errors import BackpressureError, LogUnavailableError
from events.publisher import PartlyAppendedError
from processors.metrics import RETRIES
from projections.errors import LiveUnavailableError

T = TypeVar("T")
TRANSIENT = (LogUnavailableError, LiveUnavailableError, BackpressureError, PartlyAppendedError)
LONGEST_WAIT_S = 5.0

_log = structlog.get_logger(__name__)


async def until_done(what: str, operation: Callable[[], Awaitable[T]]) -> T:
    """The operation's result, however long its dependency is away; anything but a transient error goes through.

    Meant for a worker, which has nothing better to do than wait: its partitions are not fetched meanwhile, so the lag
    shows, and it goes on without a restart.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        RETRIES.labels(what).inc()
        _log.warning("waiting for a dependency", what=what, attempt=state.attempt_number, error=str(error))

    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(TRANSIENT),
        wait=wait_random_exponential(multiplier=0.05, max=LONGEST_WAIT_S),
        before_sleep=tell,
        reraise=True,
    ):
        with attempt:
            return await operation()
    raise AssertionError("unreachable: retries without end")
