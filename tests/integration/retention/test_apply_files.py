"""Steps on files: segments that are merged, and a disk that does not do what it is told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from events.action_audited import AuditResult
from events.settings import LogSettings
from projections.archive.chain import read_chain
from projections.archive.layout import places_in
from projections.archive.reading import read_segment
from projections.archive.records import ArchivedRecord
from projections.archive.shelf import Shelf
from projections.archive.verify import verify
from projections.retention.steps import DeleteFile, PackSegments
from tests.integration.retention.place import NOW_US, Place, place, policies, usage_at

pytestmark = pytest.mark.any_broker


@pytest.fixture
async def found(postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path) -> AsyncIterator[Place]:
    """Three small segments of usage in each partition that has any."""
    async with place(postgres, log_settings, tmp_path) as made:
        for _ in range(3):
            await made.append([usage_at(0, tenant) for tenant in ("acme", "bank-1", "globex")])
            await made.feed(made.archive_sink)
        yield made


def shelves(found: Place) -> list[Shelf]:
    """The partitions of usage in the archive that hold something."""
    assert found.archive.folder is not None
    every = [Shelf(found.archive.folder, one) for one in places_in(found.archive.folder)]
    return [shelf for shelf in every if shelf.place.topic == "usage" and shelf.firsts()]


def archived(found: Place) -> dict[str, list[ArchivedRecord]]:
    """All records of usage that the archive holds."""
    return {
        str(shelf.place): [
            record for segment in read_chain(shelf).segments for record in read_segment(shelf, segment)
        ]
        for shelf in shelves(found)
    }


async def test_small_segments_are_merged_once(found: Place) -> None:
    """No record is lost or altered, the chain holds, and a second plan has nothing to do."""
    wanted = policies("store: archive\ntopics: [usage]\nmore_than: 0\naction: compress")
    before = archived(found)
    assert {len(shelf.firsts()) for shelf in shelves(found)} == {3}
    plan = await found.plan(wanted)
    assert {type(step) for step in plan.steps} == {PackSegments}
    assert plan.rows == sum(len(records) for records in before.values()) == 9
    outcomes = await found.apply(plan)
    assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}
    assert {len(shelf.firsts()) for shelf in shelves(found)} == {1}
    assert archived(found) == before
    verified = await verify(found.archive, lambda *_: None)
    assert not [finding for one in verified for finding in one.findings]
    assert not (await found.plan(wanted)).steps


async def test_a_damaged_partition_is_not_merged(found: Place) -> None:
    """The step is refused with the command that says what is wrong."""
    plan = await found.plan(policies("store: archive\ntopics: [usage]\nmore_than: 0\naction: compress"))
    for shelf in shelves(found):
        manifest = next(shelf.manifests.glob("*.json"))
        manifest.write_bytes(manifest.read_bytes().replace(b"usage", b"wsage"))
    outcomes = await found.apply(plan)
    assert {outcome.result for outcome in outcomes} == {AuditResult.REFUSED}
    assert "interlock archive verify" in outcomes[0].detail


async def test_a_step_that_the_disk_refuses_has_failed_and_the_others_go_on(found: Place) -> None:
    """It is told as FAILED on the log, and the next run tries it again."""
    exports = found.retention.exports
    assert exports is not None
    exports.mkdir()
    blocked, free = exports / "blocked.parquet", exports / "free.parquet"
    for path in (blocked, free):
        path.write_bytes(b"PAR1")
        os.utime(path, ns=(0, 0))
    wanted = policies("store: exports\nolder_than: 30d\naction: delete")
    plan = await found.plan(wanted, NOW_US)
    assert [type(step) for step in plan.steps] == [DeleteFile, DeleteFile]
    blocked.unlink()
    blocked.mkdir()  # what cannot be unlinked, whoever runs the test
    outcomes = await found.apply(plan)
    results = {outcome.step.subject: outcome.result for outcome in outcomes}
    assert results == {
        "exports/blocked.parquet": AuditResult.FAILED,
        "exports/free.parquet": AuditResult.DONE,
    }
    assert not free.exists()
    told = [event.result for event in await found.audit() if event.subject == "exports/blocked.parquet"]
    assert told == [AuditResult.STARTED, AuditResult.FAILED]
    blocked.rmdir()
    blocked.write_bytes(b"PAR1")
    os.utime(blocked, ns=(0, 0))
    [outcome] = await found.apply(await found.plan(wanted, NOW_US))
    assert outcome.result is AuditResult.DONE
    assert not blocked.exists()
