"""The archive's small segments merged now and then, beside the sink that makes them."""

from __future__ import annotations

import asyncio

import structlog

from processors import metrics
from projections.archive.compact import Compacted, compact
from projections.archive.manifest import DamagedManifestError
from projections.archive.settings import ArchiveSettings

_log = structlog.get_logger(__name__)


async def compact_now_and_then(settings: ArchiveSettings) -> None:
    """Every `compact_every_s`, one partition after the other, until cancelled; 0: never. Any number of processes may do so.

    What cannot be merged stays as it is, for the archive is whole without it; it is tried again the next time.
    """
    while settings.compact_every_s:
        await asyncio.sleep(settings.compact_every_s)
        try:
            await compact(settings, _tell)
        except (OSError, DamagedManifestError) as error:
            _log.warning("the archive's segments are not merged", why=str(error))


def _tell(one: Compacted) -> None:
    metrics.ARCHIVE_MERGED.inc(one.merged)
    if one.refused is not None:
        _log.warning("segments are not merged", partition=str(one.place), why=one.refused)
