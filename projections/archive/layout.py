"""Where things lie in the archive's folder.

    topic=usage/partition=3/day=2026-11-21/00000000000000001042-00000000000000002096-5d3f2a11-e7.avro
    topic=usage/partition=3/day=2026-11-21/tenant=acme/...                        when divided by tenant
    topic=usage/partition=3/_manifests/00000000000000001042.json
    topic=usage/partition=3/_manifests/epoch, lock

Names that begin with `_` or `.` are passed over by Spark and Hive; the others make partition columns of what they say.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from events.positions import Partition

MANIFESTS = "_manifests"
MANIFEST_ENDING = ".json"
DATA_ENDING = ".avro"
PARTIAL = ".partial-"
"""What a file's name begins with while it is written."""

DAY_MS = 86_400_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_LONGEST_PART = 200
_NOBODY = "__HIVE_DEFAULT_PARTITION__"
_PLACE = re.compile(r"topic=([a-z][a-z0-9-]*)/partition=(0|[1-9][0-9]{0,8})")
_MANIFEST = re.compile(r"([0-9]{20})\.json")


def partition_folder(folder: Path, place: Partition) -> Path:
    """Where a partition's segments lie."""
    return folder / f"topic={place.topic}" / f"partition={place.number}"


def places_in(folder: Path) -> list[Partition]:
    """The partitions of which the archive holds anything."""
    found = []
    for path in folder.glob(f"topic=*/partition=*/{MANIFESTS}"):
        match = _PLACE.fullmatch(path.parent.relative_to(folder).as_posix())
        if match is not None:
            found.append(Partition(match[1], int(match[2])))
    return sorted(found)


def day_of(timestamp_ms: int) -> int:
    """Days since the epoch in UTC; of times that no calendar knows, the first or last day that it does."""
    return min(max(timestamp_ms // DAY_MS, _FIRST_DAY), _LAST_DAY)


def day_name(day: int) -> str:
    """As in `day=2026-11-21`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()


def part_name(column: str, value: str | None) -> str:
    """A folder for one tenant or provider; whatever its name is, it stays within the archive."""
    return f"{column}={_NOBODY if not value else quote(value, safe='')[:_LONGEST_PART]}"


def data_name(first: int, end: int, schema_id: int, epoch: int) -> str:
    """Of a segment's file. The epoch keeps two owners of one partition from writing the same file."""
    return f"{first:020d}-{end:020d}-{schema_id:08x}-e{epoch}{DATA_ENDING}"


def manifest_name(first: int) -> str:
    """Of the manifest of the segment that begins there: there can be only one."""
    return f"{first:020d}{MANIFEST_ENDING}"


def first_of(name: str) -> int | None:
    """The offset in a manifest's name; None of another file."""
    match = _MANIFEST.fullmatch(name)
    return int(match[1]) if match is not None else None
