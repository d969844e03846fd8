"""Why a rebuild or a backfill stops. What is live stays live, and what was done can be gone on with."""

from __future__ import annotations


class RebuildError(Exception):
    """Root of this package's errors; the message says what to do."""


class LogStartGoneError(RebuildError):
    """Records that the state was folded from are no longer on the log."""


class LogEndsEarlyError(RebuildError):
    """The log has less than the live generation has folded: it is another log."""


class LiveWentBackError(RebuildError):
    """The live generation was flushed or rolled back meanwhile, and is behind the new one."""


class DerivedAgainError(RebuildError):
    """A fold derived an event where all that was derived should be on the log."""


class BadRecordError(RebuildError):
    """A record cannot be used, and the workers have made no dead letter of it."""


class LiveBehindError(RebuildError):
    """What is asked for lies beyond what the live generation has folded."""


class ArchiveUnusableError(RebuildError):
    """The archive that was named is damaged, away, or that of another log."""


class NoWayBackError(RebuildError):
    """There is nothing that was live before."""


class NotProvedError(RebuildError):
    """What was built is not what the log says."""


class NothingToFillError(RebuildError):
    """There is no projection yet of which a part could be filled."""


class RowsGoneError(RebuildError):
    """Sums are to be made of rows that may be gone."""
