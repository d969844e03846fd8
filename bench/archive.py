"""How quickly records that were read from the log are archived: beside zstandard alone over the same bytes, at its level.

Archived means on the disk: encoded, compressed, hashed, synced, with a manifest. The bytes are those of keys and values. The
one partition of the main figure is archived by one task, as its owner does it; four partitions go side by side.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import median
from typing import Any

from backports import zstd

from bench.lab import Lab
from bench.report import Row, show
from bench.usage_records import append_all, usage_records
from events.codec import Codec
from events.positions import Partition
from events.publisher import Publisher
from events.reader import LogReader, LogRecord
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.archive.segment import BLOCK_BYTES
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink

EVENTS = 200_000
BATCH = 8_000
ROUNDS = 5
START_US = 1_760_000_000_000_000

Batches = dict[Partition, list[Sequence[LogRecord]]]


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `archive_vs_zstd` compares megabytes per second by the clock."""
    one, _ = await lab.settings("archive-1", 1)
    four, _ = await lab.settings("archive-4", 4)
    codec = Codec(FolderRegistry())
    for log in (one, four):
        async with Publisher(log, codec) as publisher:
            await append_all(publisher, usage_records(codec, EVENTS, START_US))
    batches, from_four = await _read(one), await _read(four)
    # All that was read stays for the rounds, which no sink would keep: nor is it to be looked through for cycles.
    gc.freeze()
    bytes_of = [
        (record.key or b"") + (record.value or b"")
        for part in batches.values()
        for run in part
        for record in run
    ]
    plain = b"".join(bytes_of)
    rounds = [await _round(plain, one, batches, four, from_four) for _ in range(ROUNDS)]
    alone, archived, side_by_side, packed, on_disk = (median(column) for column in zip(*rounds, strict=True))
    from_log = await _from_log(one)
    mb = len(plain) / 1e6
    level = ArchiveSettings().zstd_level
    show(
        f"archive, {EVENTS:,} records of {len(plain) / EVENTS:.0f} bytes, batches of {BATCH:,}",
        [
            Row(f"zstandard alone, level {level}", mb / alone, "MB/s", f"ratio {len(plain) / packed:.2f}"),
            Row("archive, one partition", mb / archived, "MB/s", f"ratio {len(plain) / on_disk:.2f}"),
            Row("archive, four partitions", mb / side_by_side, "MB/s"),
            Row(
                "log to archive, reading it too", mb / from_log, "MB/s", f"{EVENTS / from_log:,.0f} records/s"
            ),
            Row("archive / zstandard", alone / archived, ""),
        ],
    )
    return {
        "archive_mb_per_s": round(mb / archived, 1),
        "archive_4_mb_per_s": round(mb / side_by_side, 1),
        "archive_from_log_mb_per_s": round(mb / from_log, 1),
        "zstd_mb_per_s": round(mb / alone, 1),
        "archive_ratio": round(len(plain) / on_disk, 2),
        "zstd_ratio": round(len(plain) / packed, 2),
        "archive_vs_zstd": round(alone / archived, 3),
    }


async def _round(
    plain: bytes, one: LogSettings, batches: Batches, four: LogSettings, from_four: Batches
) -> tuple[float, float, float, int, int]:
    """Seconds of each way, and the bytes that zstandard and the archive made."""
    alone, packed = _compressed(plain)
    archived, on_disk = await _archived(one, batches)
    side_by_side, _ = await _archived(four, from_four)
    return alone, archived, side_by_side, packed, on_disk


def _compressed(plain: bytes) -> tuple[float, int]:
    """Zstandard over blocks as large as those of the archive."""
    level = ArchiveSettings().zstd_level
    begun = time.perf_counter()
    packed = sum(
        len(zstd.compress(plain[at : at + BLOCK_BYTES], level)) for at in range(0, len(plain), BLOCK_BYTES)
    )
    return time.perf_counter() - begun, packed


async def _archived(log: LogSettings, batches: Batches) -> tuple[float, int]:
    folder = Path(tempfile.mkdtemp(prefix="interlock-bench-archive-"))
    sink = ArchiveSink(ArchiveSettings(folder=folder), log)
    try:
        for place in batches:
            await sink.open(place)
        begun = time.perf_counter()
        await asyncio.gather(*(_write(sink, place, part) for place, part in batches.items()))
        await sink.drain()
        took = time.perf_counter() - begun
        return took, _size(folder)
    finally:
        await sink.close()
        shutil.rmtree(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def _write(sink: ArchiveSink, place: Partition, part: list[Sequence[LogRecord]]) -> None:
    for records in part:
        await sink.write(place, records[0].offset, records)


async def _from_log(log: LogSettings) -> float:
    """Seconds from the first fetch to the last manifest."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-bench-archive-"))
    sink = ArchiveSink(ArchiveSettings(folder=folder), log)
    reader = LogReader(log)
    try:
        place = Partition("usage", 0)
        await sink.open(place)
        begun = time.perf_counter()
        async with aclosing(reader.read("usage", await reader.ranges("usage"))) as found:
            async for _, records in found:
                await sink.write(place, records[0].offset, records)
        await sink.drain()
        return time.perf_counter() - begun
    finally:
        await sink.close()
        shutil.rmtree(folder)


async def _read(log: LogSettings) -> Batches:
    """What the log holds, in batches as the sinks get them."""
    reader = LogReader(log)
    found: dict[Partition, list[LogRecord]] = {}
    async with aclosing(reader.read("usage", await reader.ranges("usage"))) as batches:
        async for number, records in batches:
            found.setdefault(Partition("usage", number), []).extend(records)
    return {
        place: [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
        for place, records in found.items()
    }
