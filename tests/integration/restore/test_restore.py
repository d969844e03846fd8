"""`interlock restore` on a real log: refused, cut, killed and run again, and proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.broker import create_topics, partition_counts
from events.positions import Partition
from events.publisher import Publisher
from events.reader import LogReader, Range
from events.settings import LogSettings
from events.until import UntilPositions, UntilTime
from projections.archive.chain import read_chain
from projections.archive.restore import restore
from projections.archive.restore_plan import CannotRestoreError, LogNotEmptyError, plan_restore
from projections.archive.restore_proof import prove
from projections.archive.shelf import Shelf
from tests.integration.archive.archiving import whole_log
from tests.integration.conftest import LogSettingsFactory
from tests.integration.log import CODEC, usage
from tests.integration.restore.site import BEGAN_MS, FIRST, SECOND, SEND, archived, console


@pytest.fixture
async def log(log_settings: LogSettings) -> LogSettings:
    """An empty log."""
    await create_topics(log_settings)
    return log_settings


async def offsets(log: LogSettings, place: Partition = FIRST) -> list[int]:
    """Those of the records that a partition holds."""
    return [record[0] for record in (await whole_log(log)).get(place, [])]


async def test_a_killed_restore_goes_on_where_the_log_ends(log_settings: LogSettings, tmp_path: Path) -> None:
    """SIGKILL amid the appends, and the command again: every record once, and the same digests as the archive."""
    archive = await archived(tmp_path / "archive", range(1_000), places=(FIRST, SECOND), at_once=100)
    operator = console(tmp_path, log_settings)
    command = ("restore", "--archive", str(tmp_path / "archive"), "--json")
    await operator.killed(f"after {SEND} 5", *command)
    left = sum((await LogReader(log_settings).ends("usage")).values())
    assert 500 <= left < 2_000
    done = (await operator.succeeds(*command)).json
    assert (done["records"], done["appended"], done["equal"]) == (2_000 - left, 2_000 - left, True)
    assert [(one["partition"], one["next_offset"]) for one in done["proof"]] == [
        ("usage-0", 1_000),
        ("usage-1", 1_000),
    ]
    assert await offsets(log_settings, SECOND) == list(range(1_000))
    assert (await restore(archive, log_settings, lambda _: None)).records == 0


@pytest.mark.any_broker
async def test_a_dry_run_changes_nothing(log_settings: LogSettings, tmp_path: Path) -> None:
    """Not even the topics are created; the plan says what there is and what there is not."""
    await archived(tmp_path / "archive", range(25))
    operator = console(tmp_path, log_settings)
    command = ("restore", "--archive", str(tmp_path / "archive"), "--dry-run")
    plan = (await operator.succeeds(*command, "--json")).json
    [part] = plan["partitions"]
    assert (part["partition"], part["archived_to"], part["end"], part["on_log"]) == ("usage-0", 25, 25, 0)
    assert any("nothing is archived of" in line for line in plan["lacks"])
    assert any("usage is kept for 90 days" in line for line in plan["lacks"])
    assert "restored to" in (await operator.succeeds(*command)).out
    assert await partition_counts(log_settings) == {}


@pytest.mark.any_broker
async def test_a_time_cuts_before_the_first_record_after_it(log: LogSettings, tmp_path: Path) -> None:
    """Also when later ones have earlier times; a record of that very time is in."""
    archive = await archived(tmp_path, [10, 20, 15, 30, 12, 31], at_once=2)
    until = UntilTime((BEGAN_MS + 20) * 1000)
    assert (await restore(archive, log, lambda _: None, until)).ends == {FIRST: 3}
    assert await offsets(log) == [0, 1, 2]
    await restore(archive, log, lambda _: None, UntilPositions({FIRST: 5}))
    assert await offsets(log) == [0, 1, 2, 3, 4]
    with pytest.raises(
        LogNotEmptyError, match=r"usage-0 .* holds the records 0 to before 5 already, and up to 4"
    ):
        await restore(archive, log, lambda _: None, UntilPositions({FIRST: 4}))


@pytest.mark.any_broker
async def test_positions_cut_those_that_are_named(log: LogSettings, tmp_path: Path) -> None:
    """The others are taken whole; one beyond the archive is refused."""
    archive = await archived(tmp_path, range(25), places=(FIRST, SECOND))
    with pytest.raises(CannotRestoreError, match="the archive of usage-1 ends at 25, before 26"):
        await restore(archive, log, lambda _: None, UntilPositions({SECOND: 26}))
    restored = await restore(archive, log, lambda _: None, UntilPositions({SECOND: 13}))
    assert (restored.ends, restored.records) == ({FIRST: 25, SECOND: 13}, 38)


async def test_a_log_with_other_records_is_refused(log: LogSettings, tmp_path: Path) -> None:
    """Fewer than the archive has, but not the same ones; nothing is appended."""
    archive = await archived(tmp_path, range(25), places=(FIRST, SECOND))
    async with Publisher(log, CODEC) as publisher:
        [position] = await publisher.append([usage()])
    with pytest.raises(
        LogNotEmptyError, match=r"not those of the archive \(the record at 0 is another one\)"
    ):
        await restore(archive, log, lambda _: None)
    assert {place: len(records) for place, records in (await whole_log(log)).items()} == {
        Partition("usage", position.partition): 1
    }


@pytest.mark.any_broker
async def test_an_archive_whose_beginning_was_retired_is_refused(log: LogSettings, tmp_path: Path) -> None:
    """Its records would get other offsets."""
    archive = await archived(tmp_path, range(25))
    shelf = Shelf(tmp_path, FIRST)
    shelf.retire(read_chain(shelf).segments[0])
    with pytest.raises(CannotRestoreError, match="the archive of usage-0 begins at 10: retention took"):
        await restore(archive, log, lambda _: None)
    assert await offsets(log) == []


async def test_the_proof_names_the_first_record_that_differs(
    make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """A log that holds one other record, and one that is too short."""
    log = make_log_settings()
    await create_topics(log)
    await restore(await archived(tmp_path / "one", range(25)), log, lambda _: None)
    other = await archived(tmp_path / "other", [*range(17), 99, *range(18, 30)])
    plan = await plan_restore(other, log)
    [proved] = await prove(plan.parts, {FIRST: 25}, log, lambda _: None)
    assert proved.differs == "the record at 17 is another one"
    assert not proved.is_equal
    [proved] = await prove(plan.parts, {FIRST: 17}, log, lambda _: None)
    assert proved.archive_sha256 == proved.log_sha256
    [proved] = await prove(plan.parts, {FIRST: 30}, log, lambda _: None)
    assert await LogReader(log).ranges("usage") == {0: Range(0, 25), 1: Range(0, 0)}
    assert (proved.differs, proved.archive_sha256 == proved.log_sha256) == (
        "the record at 17 is another one",
        False,
    )
