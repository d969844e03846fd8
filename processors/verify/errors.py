"""Why something cannot be verified now."""

from __future__ import annotations


class VerifyError(Exception):
    """Root of this package's errors; the message says what to do."""


class SlotMovedError(VerifyError):
    """A slot of the live state went back while it was looked at."""


class BrokenSlotError(VerifyError):
    """Where a slot is, is not to be read."""


class OtherLogError(VerifyError):
    """What is to be verified was made from more than this log has."""


class BegunAnewError(VerifyError):
    """The analytics went back to an earlier record while they were looked at."""


class NotFoldedError(VerifyError):
    """A slot was emptied, and no worker folds it anew."""


class TakenBackError(VerifyError):
    """The sink took a partition back again and again before it was repaired."""
