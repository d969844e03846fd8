"""`interlock backup` as an operator runs it when everything but the backup may be lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import orjson
import psutil
import pytest

from events.partitioner import partition_of
from events.positions import Partition
from projections.backup.store import BackupStore
from tests.e2e.console import Console
from tests.integration.archive.archiving import damage, data_files
from tests.integration.backup.site import backed_up
from tests.integration.live_server import until
from tests.integration.restore.site import archived

DRILLED_WITHIN_S = 200.0
PARTITIONS = 2
PLACE = Partition("usage", partition_of(b"acme", PARTITIONS))
DRILL = ("backup", "drill", "--from", "backups", "--scratch", "scratch", "--json")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """An operator whose log does not answer."""
    (tmp_path / "scratch").mkdir()
    environment = {
        "INTERLOCK_LOG__BOOTSTRAP": "127.0.0.1:1",
        "INTERLOCK_LOG__SESSION_TIMEOUT_S": "2",
        "INTERLOCK_HISTORY__POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/production",
        "INTERLOCK_ANALYTICS__CHROMA_URL": "http://127.0.0.1:1",
        "INTERLOCK_ANALYTICS__RETENTION__USAGE_PATTERNS_DAYS": "36500",
    }
    return Console(tmp_path, environment)


@pytest.fixture
async def store(tmp_path: Path) -> BackupStore:
    """A backup of 25 records, whose archive goes on to 30."""
    await archived(tmp_path / "archive", range(30), places=(PLACE,))
    store = BackupStore(tmp_path / "backups")
    positions = {Partition("usage", number): 0 for number in range(PARTITIONS)}
    backed_up(tmp_path / "archive", store, positions | {PLACE: 25})
    return store


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("store")
async def test_a_drill_rebuilds_everything_from_the_backup_and_says_how_long_it_took(
    console: Console,
) -> None:
    """On servers of its own, which are gone afterwards with all that they wrote."""
    drill = await console.start(*DRILL)
    try:
        out, err = await asyncio.wait_for(drill.communicate(), DRILLED_WITHIN_S)
    finally:
        if drill.returncode is None:
            drill.kill()
            await drill.wait()
    assert drill.returncode == 0, err.decode()
    found = orjson.loads(out)
    assert (found["equal"], found["unequal"], found["differences"]) == (True, [], [])
    assert [(one["partition"], one["next_offset"]) for one in found["log"]] == [(str(PLACE), 25)]
    assert found["live"]["digests"]["live"] == found["live"]["digests"]["log"] != {}
    assert found["history"]["digests"]["live"] == found["history"]["digests"]["log"] != {}
    assert found["analytics"]["digests"]["live"] == found["analytics"]["digests"]["log"] != {}
    assert found["rpo"]["records"] is None
    assert 0 < found["rto"]["live_s"] < found["rto"]["history_s"] < found["rto"]["analytics_s"]
    assert [one["phase"] for one in found["phases"] if one["rto"]] == [
        "backup read and verified",
        "servers started",
        "log restored",
        "live state folded",
        "history written",
        "analytics written",
    ]
    assert list((console.folder / "scratch").iterdir()) == []


async def test_a_drill_fails_by_one_altered_byte(console: Console, store: BackupStore) -> None:
    """So does `verify`: both name the file, and the exit code is 1; `list` reads the manifests only."""
    altered = data_files(store.archive_of(store.ids()[0]))[0]
    damage(altered, lambda content: content.__setitem__(-30, content[-30] ^ 1))
    ended = await console.run(*DRILL)
    assert (ended.code, altered.name in ended.err) == (1, True)
    ended = await console.run("backup", "verify", "--from", "backups")
    assert (ended.code, altered.name in ended.out) == (1, True)
    [listed] = (await console.succeeds("backup", "list", "--from", "backups", "--json")).json
    assert (listed["id"], listed["kind"], listed["records"]) == (store.ids()[0], "full", 25)


@pytest.mark.usefixtures("store")
async def test_an_interrupted_drill_leaves_nothing_behind(console: Console) -> None:
    """Ctrl-C while a worker folds: exit code 130, no process and no file."""
    scratch = console.folder / "scratch"
    drill = await console.start(*DRILL)
    try:
        await until(lambda: any(scratch.glob("*/work.log")), 30)
        children = psutil.Process(drill.pid).children(recursive=True)
        assert len(children) >= 3
        drill.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(drill.wait(), 30) == 130
    finally:
        if drill.returncode is None:
            drill.kill()
            await drill.wait()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list(scratch.iterdir()) == []
