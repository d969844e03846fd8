"""Why a migration stops. What was live stays live, and `interlock migrate run` goes on where it was."""

from __future__ import annotations


class MigrationError(Exception):
    """Root of this package's errors; the message says what to do."""


class CanaryDiffersError(MigrationError):
    """The new one answers otherwise than the live one, more often than is tolerated."""


class OtherReleaseError(MigrationError):
    """The migration that was begun is that of another release."""


class NothingToRollBackError(MigrationError):
    """No migration has made anything live that could be put back, or somebody has since."""
