"""A backup put back: its archive into an empty log up to its point, and how far the workers' group was."""

from __future__ import annotations

from events.group_offsets import GroupOffsets
from events.positions import Partition
from events.settings import LogSettings
from events.until import UntilPositions
from projections.backup.errors import BackupError
from projections.backup.manifest import Backup


def until(backup: Backup) -> UntilPositions:
    """Where every partition of the restored log ends."""
    return UntilPositions(backup.point.positions)


def check_fits(backup: Backup, log: LogSettings) -> None:
    """BackupError when the settings would make another log of it."""
    partitions = {place.number + 1 for place in backup.point.positions}
    if max(partitions, default=log.partitions) != log.partitions:
        raise BackupError(
            f"backup {backup.id} is of a log with {max(partitions)} partitions, and the settings say {log.partitions}: set "
            f"INTERLOCK_LOG__PARTITIONS={max(partitions)}"
        )


async def tell_group(backup: Backup, log: LogSettings) -> int:
    """Tell the log how far the workers had decided, unless it knows; of how many partitions. No worker may run yet.

    Below these offsets a worker applies what is recorded, and takes silence for a decision too. Raises LogUnavailableError.
    """
    decided: dict[Partition, int] = dict(backup.point.decided_to)
    async with GroupOffsets(log) as groups:
        known = await groups.committed(log.group_id, list(decided)) if decided else {}
        lacking = {place: offset for place, offset in decided.items() if known.get(place, 0) < offset}
        await groups.commit(log.group_id, lacking)
    return len(lacking)
