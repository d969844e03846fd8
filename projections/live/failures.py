"""What an error of the Redis client means to us."""

from __future__ import annotations

import re

from redis.exceptions import (
    ClusterError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from projections.errors import BrokenInvariantError, LiveUnavailableError, ProjectionError

REDIS_FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""All that a call of the client may raise."""

# A server that is gone, starting or failing over; one that is read-only or held up by a script. It will get better.
_AWAY = (RedisConnectionError, RedisTimeoutError, ClusterError, RedisClusterException, OSError, TimeoutError)
_BUSY = (ReadOnlyError, TryAgainError)
_BUSY_CODE = re.compile(r"(?:^|: )(?:BUSY|MISCONF|NOREPLICAS|UNKILLABLE) ")


def in_our_terms(error: BaseException, url: str) -> ProjectionError:
    """LiveUnavailableError when the call may be tried again, else BrokenInvariantError. Hides the URL's password."""
    where = f"Redis at {_without_password(url)}"
    if isinstance(error, _AWAY):
        return LiveUnavailableError(f"{where} does not answer: {str(error) or type(error).__name__}")
    if isinstance(error, OutOfMemoryError):
        return LiveUnavailableError(f"{where} is full, raise its maxmemory: {error}")
    if isinstance(error, _BUSY) or _BUSY_CODE.search(str(error)):
        return LiveUnavailableError(f"{where} cannot serve now: {error}")
    return BrokenInvariantError(f"{where} refused a command: {error}")


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
