"""The sink's process merges the small segments that it makes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prometheus_client import REGISTRY

from processors.sinks.compacting import compact_now_and_then
from projections.archive.chain import read_chain
from projections.archive.reading import read_segment
from projections.archive.shelf import Shelf
from projections.archive.verify import verify
from tests.integration.live_server import eventually
from tests.unit.test_archive_files import PLACE, records, settings_of, sink_of

SEGMENTS, RECORDS = 12, 5


async def test_segments_are_merged_while_others_are_added(tmp_path: Path) -> None:
    """A writer that knows the segments from before goes on after them; a damaged partition beside it holds up nothing."""
    settings = settings_of(tmp_path, compact_every_s=0.05)
    shelf = Shelf(tmp_path, PLACE)
    broken = Shelf(tmp_path, replace(PLACE, number=1))
    broken.manifests.mkdir(parents=True)
    (broken.manifests / f"{0:020d}.json").write_bytes(b"nonsense")
    before = _merged()
    sink = sink_of(tmp_path)
    await sink.open(PLACE)
    merging = asyncio.create_task(compact_now_and_then(settings))
    try:
        for number in range(SEGMENTS):
            await sink.write(PLACE, number * RECORDS, records(number * RECORDS, RECORDS))
            await sink.drain()

        async def merged() -> bool:
            return len(shelf.firsts()) == 1 and _merged() == before + SEGMENTS - 1

        await eventually(merged)
    finally:
        merging.cancel()
        with suppress(asyncio.CancelledError):
            await merging
        await sink.close()
    chain = read_chain(shelf)
    offsets = [record.offset for segment in chain.segments for record in read_segment(shelf, segment)]
    assert offsets == list(range(SEGMENTS * RECORDS))
    found = await verify(settings, lambda *_: None)
    assert [finding.place for one in found for finding in one.findings] == [broken.place]


def _merged() -> float:
    """Segments that larger ones took the place of, as the metric says."""
    return REGISTRY.get_sample_value("interlock_archive_merged_segments_total") or 0.0
