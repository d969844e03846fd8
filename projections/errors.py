"""Errors of the projections package, split by what the caller does with them."""

from __future__ import annotations

from collections.abc import Mapping

from events.positions import Partition


class ProjectionError(Exception):
    """Root of this package's errors."""


class StaleCheckpointError(ProjectionError):
    """The store is not where its owner believes it is (flushed, rolled back, committed before): acquire again."""


class LogReplacedError(ProjectionError):
    """The store holds records that this log never had, or has lost: reading on would leave out others in their place."""


class FencedError(ProjectionError):
    """Another owner holds the slot: stop writing, drop all that is remembered of it."""

    def __init__(self, detail: str, *, owner: str, epoch: int) -> None:
        super().__init__(detail)
        self.owner = owner
        self.epoch = epoch


class LiveUnavailableError(ProjectionError):
    """The store did not answer within its bound: retry later; a write may or may not have happened."""


class SinkUnavailableError(ProjectionError):
    """The store of a sink (Postgres, Chroma, a folder) did not take or give what was asked: retry later."""


class SchemaBusyError(ProjectionError):
    """Another command builds or switches this history now."""


class HistoryUnavailableError(ProjectionError):
    """The history cannot be asked now (away, not configured, too slow for this question): the message says what to do."""


class InvalidCursorError(ProjectionError):
    """A cursor continues nothing, or another question than the one it came with."""


class TooMuchAskedError(ProjectionError):
    """An answer would be larger than is answered at once: ask for less."""


class LaggingError(ProjectionError):
    """The projection did not reach the wanted positions within the bound; `lag` is the missing records of each."""

    def __init__(self, detail: str, *, lag: Mapping[Partition, int]) -> None:
        super().__init__(detail)
        self.lag = dict(lag)


class BrokenInvariantError(ProjectionError):
    """What cannot be has happened: crash, and say where."""
