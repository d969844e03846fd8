"""Why a deployment is not carried. The old one goes on as before, and `interlock migrate run` with the same names goes on."""

from __future__ import annotations


class RepartitionError(Exception):
    """Root of this package's errors; the message says what to do."""


class BeginningGoneError(RepartitionError):
    """Neither the log nor an archive has the first records: what was folded from them could not be folded again."""


class NothingToCarryError(RepartitionError):
    """There is no old log."""


class OtherRecordsError(RepartitionError):
    """The new topics hold records that were not carried: they are another deployment's, or the new one is at work already."""


class NotStillError(RepartitionError):
    """Producers go on sending, or the workers have not folded all, for longer than was to be waited."""
