"""Why a backup cannot be made, found or used; the message says what to do."""

from __future__ import annotations

from projections.errors import ProjectionError


class BackupError(ProjectionError):
    """Root of this package's errors: what was asked for is refused, and nothing was changed."""


class BackupNotFoundError(BackupError):
    """There is no such backup."""


class ArchiveBehindError(BackupError):
    """The archive did not come up to the point in time: make the backup later, or let the sink run."""


class DamagedBackupError(BackupError):
    """A backup is not what was written; the message names the file."""
