"""What the archive holds, by its manifests alone."""

from __future__ import annotations

from dataclasses import dataclass

from events.positions import Partition
from projections.archive.chain import Chain, read_chain
from projections.archive.layout import places_in
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Held:
    """Of one partition. `log_bytes` are those of its keys and values on the log, `bytes` those of its files."""

    place: Partition
    next_offset: int
    segments: int
    records: int
    undecoded: int
    log_bytes: int
    bytes: int
    last_timestamp_ms: int | None
    faults: int


def status_of(settings: ArchiveSettings) -> list[Held]:
    """Every partition of which anything is archived. Waits for the disk."""
    folder = settings.folder
    return [] if folder is None else [_held(read_chain(Shelf(folder, place))) for place in places_in(folder)]


def _held(chain: Chain) -> Held:
    segments = chain.segments
    return Held(
        chain.place,
        chain.next_offset,
        len(segments),
        sum(segment.records for segment in segments),
        sum(segment.undecoded for segment in segments),
        sum(segment.log_bytes for segment in segments),
        sum(segment.size for segment in segments),
        max((segment.last_timestamp_ms for segment in segments), default=None),
        len(chain.findings),
    )
