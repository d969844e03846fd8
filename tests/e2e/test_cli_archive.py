"""`interlock archive` as an operator runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.positions import Partition
from events.settings import LogSettings
from projections.archive.records import ArchivedRecord
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from tests.e2e.console import Console
from tests.integration.log import CODEC, usage

PLACE = Partition("usage", 1)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """An operator whose archive is set, and whose log does not answer."""
    environment = {
        "INTERLOCK_ARCHIVE__FOLDER": str(tmp_path / "archive"),
        "INTERLOCK_LOG__BOOTSTRAP": "127.0.0.1:1",
        "INTERLOCK_LOG__REQUEST_TIMEOUT_S": "1",
    }
    return Console(tmp_path, environment)


@pytest.fixture
async def files(tmp_path: Path) -> list[Path]:
    """Three segments of ten records each."""
    (tmp_path / "archive").mkdir()
    sink = ArchiveSink(ArchiveSettings(folder=tmp_path / "archive"), LogSettings())
    await sink.open(PLACE)
    for first in (0, 10, 20):
        rows = [
            ArchivedRecord("usage", 1, first + n, 1_700_000_000_000, b"acme", CODEC.encode(usage()), ())
            for n in range(10)
        ]
        await sink.write(PLACE, first, rows)
        await sink.drain()
    await sink.close()
    return sorted((tmp_path / "archive").rglob("*.avro"))


@pytest.mark.usefixtures("files")
async def test_status_and_compact_tell_what_is_archived(console: Console) -> None:
    """As a table for people and as JSON for programs."""
    [held] = (await console.succeeds("archive", "status", "--json")).json
    assert (held["place"], held["next_offset"], held["segments"], held["records"]) == ("usage-1", 30, 3, 30)
    assert "usage-1" in (await console.succeeds("archive", "status")).out
    [done] = (await console.succeeds("archive", "compact", "--json")).json
    assert (done["segments_before"], done["segments_after"], done["refused"]) == (3, 1, None)
    [verified] = (await console.succeeds("archive", "verify", "--json")).json["partitions"]
    assert (verified["records"], verified["segments"], verified["findings"]) == (30, 1, [])


async def test_verify_names_a_damaged_file(console: Console, files: list[Path]) -> None:
    """Exit code 1; without a log it cannot be built anew, which is exit code 3."""
    content = bytearray(files[1].read_bytes())
    content[-30] ^= 1
    files[1].write_bytes(content)
    ended = await console.run("archive", "verify")
    assert (ended.code, files[1].name in ended.out) == (1, True)
    assert "altered" in ended.out
    assert (await console.run("archive", "verify", "--rebuild")).code == 3
    ended = await console.run("archive", "compact")
    assert (ended.code, files[1].name in ended.out) == (1, True)


async def test_no_archive_is_said(console: Console) -> None:
    """Exit code 4, with the setting to set."""
    ended = await console.run("archive", "status")
    assert ended.code == 4
    assert "INTERLOCK_ARCHIVE__FOLDER" in ended.err
