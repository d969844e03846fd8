"""The history rebuilt beside the live one, on real servers: equal to the log, beside sinks, readers and traffic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from processors.rebuild.errors import BadRecordError, LogEndsEarlyError, LogStartGoneError, NoWayBackError
from processors.rebuild.history_back import turn_back
from projections.archive.sink import ArchiveSink
from projections.history.beside import beside, next_of
from projections.retention.log_begin import cut
from projections.settings import LiveSettings
from tests.integration.archive.archiving import archive_log, settings_of
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import (
    caught_up,
    ends_of,
    reading,
    rebuild_of,
    rebuilt,
    sinking,
    something_of_every_kind,
    write,
    wrong,
)
from tests.integration.live_server import eventually
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, traffic, usage

COST = "SELECT cost_nano_usd FROM usage WHERE \"user\" = 'tampered'"


@pytest.fixture
async def rig(log_address: str) -> AsyncIterator[Rig]:
    """A log with something of every kind."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        yield opened


@pytest.fixture
async def written(rig: Rig, place: Place) -> Place:
    """Its history."""
    await write(rig, place)
    return place


async def tamper(place: Place) -> None:
    """A row, a sum, and a row that is gone."""
    await place.ask("UPDATE usage SET cost_nano_usd = 70 WHERE \"user\" = 'tampered'")
    await place.ask("UPDATE usage_by_day SET calls = calls + 5 WHERE \"user\" = 'kept'")
    await place.ask("DELETE FROM health")


async def test_a_tampered_history_is_rebuilt_beside_a_sink_readers_and_traffic(
    rig: Rig, written: Place
) -> None:
    """Nobody has to stop; the sink forgets what it remembers of the sums before, and no answer goes back or fails."""
    await tamper(written)
    schema = written.settings.schema_name
    await written.ask("CREATE ROLE analyst")
    await written.ask(f"GRANT USAGE ON SCHEMA {schema} TO analyst")
    await written.ask("GRANT SELECT ON usage TO analyst")
    await write(rig, Place(next_of(written.settings)))  # begun before, so epochs are alike
    async with sinking(rig, written):
        await rig.append(usage("acme", user="kept"))
        await caught_up(rig, written)
        assert await wrong(rig, written)
        async with reading(written) as answers, traffic(rig):
            outcome = await rebuilt(rig, written)
            assert outcome.is_live
            before = len(answers)
            await rig.append(usage("acme", user="kept"))

            async def is_read_on() -> bool:
                return len(answers) > before + 20

            await eventually(is_read_on)
        await caught_up(rig, written)
        assert answers == sorted(answers)
    assert await wrong(rig, written) == []
    assert await written.value(COST) == 7
    differ = {one.table for one in outcome.months if not one.is_equal}
    assert differ == {"usage", "usage_by_day", "health"}
    assert {one.table for one in outcome.months} >= {
        "usage",
        "budgets",
        "providers",
        "refused",
        "usage_by_hour",
    }
    assert outcome.found.records >= 90
    assert await written.value("SELECT has_schema_privilege('analyst', $1, 'USAGE')", schema)
    assert await written.value("SELECT has_table_privilege('analyst', 'usage', 'SELECT')")
    assert not await written.value("SELECT has_table_privilege('analyst', 'health', 'SELECT')")


@pytest.mark.any_broker
async def test_turning_back_changes_places_with_the_one_before(rig: Rig, written: Place) -> None:
    """And once more; what came in meanwhile is written into whichever is live."""
    with pytest.raises(NoWayBackError, match="_before to go back to"):
        await turn_back(rig.log, written.settings)
    await tamper(written)
    async with sinking(rig, written):
        await rebuilt(rig, written)
        await rig.append(*Traffic(rig).some(20))
        await caught_up(rig, written)
        turned = await turn_back(rig.log, written.settings)
        assert turned.behind >= 20
        await rig.append(usage("acme", user="kept"))
        await caught_up(rig, written)
        assert await written.value(COST) == 70
        await turn_back(rig.log, written.settings)
        await rig.append(usage("acme", user="kept"))
        await caught_up(rig, written)
    assert await wrong(rig, written) == []
    assert (await rebuilt(rig, written)).months
    assert await written.value(COST) == 7


@pytest.mark.any_broker
async def test_a_lost_history_comes_back_by_the_sink_that_runs_and_by_a_rebuild(
    rig: Rig, written: Place
) -> None:
    """The schema is dropped: a running sink makes it anew, and so does a rebuild without any sink."""
    name = written.settings.schema_name
    async with sinking(rig, written):
        await rig.append(usage("acme"))
        await caught_up(rig, written)
        await written.ask(f"DROP SCHEMA {name} CASCADE")
        await caught_up(rig, written)
    assert await wrong(rig, written) == []
    await written.ask(f"DROP SCHEMA {name} CASCADE")
    with pytest.raises(BadRecordError, match=r"usage-0:\d+ bad_magic.*nor the live history.*--skip-bad"):
        await rebuilt(rig, written)
    assert await written.value("SELECT to_regnamespace($1) IS NULL", name)
    outcome = await rebuilt(rig, written, skips_bad=True)
    assert (outcome.is_live, outcome.plan.resumed, outcome.has_before) == (True, True, False)
    assert sorted(one.reason for one in outcome.skipped) == ["bad_magic", "no_value"]
    assert await wrong(rig, written) == []


@pytest.mark.any_broker
async def test_a_built_schema_that_is_not_what_the_log_says_is_not_made_live(
    rig: Rig, written: Place
) -> None:
    """Whatever an interrupted rebuild has left; begun anew, it is right."""
    plan = await rebuild_of(rig, written).plan()
    assert plan.records == sum((await ends_of(rig)).values())
    built = Place(next_of(written.settings))
    await write(rig, built)
    await built.ask("DELETE FROM usage WHERE \"user\" = 'kept'")
    outcome = await rebuilt(rig, written)
    assert (outcome.is_live, outcome.plan.resumed, outcome.written, outcome.months) == (False, True, 0, [])
    assert any("missing, the log says" in one.how for one in outcome.found.comparison.differences)
    assert await written.value("SELECT count(*) FROM usage WHERE \"user\" = 'kept'") == 1
    assert (await rebuilt(rig, written, anew=True)).is_live
    await written.ask("UPDATE checkpoints SET next_offset = 1000 WHERE topic = 'health' AND partition = 1")
    with pytest.raises(LogEndsEarlyError, match="the history holds health-1 up to 1000, and the log ends at"):
        await rebuilt(rig, written)
    async with beside(written.settings) as schemas:
        assert await schemas.positions(schemas.built) == {}


@pytest.mark.kafka
async def test_what_the_log_no_longer_holds_comes_from_the_archive(
    rig: Rig, written: Place, tmp_path: Path
) -> None:
    """Refused without it, unless the beginning may be left out; with it every row is there and proved."""
    await archive_log(ArchiveSink(settings_of(tmp_path), rig.log), rig.log)
    archived = await ends_of(rig)
    await rig.append(*Traffic(rig).some(50))
    await write(rig, written)
    rows = await written.value("SELECT count(*) FROM usage")
    for place, end in archived.items():
        if end > 1:
            await cut(rig.log, place, end * 2 // 3)
    with pytest.raises(LogStartGoneError, match=r"begins at [0-9]+, and 0 is next: .* --archive DIR"):
        await rebuilt(rig, written)
    plan = await rebuild_of(rig, written, archive=tmp_path).plan()
    assert sum(part.from_archive for part in plan.parts) > 50
    await written.ask(f"DROP SCHEMA {written.settings.schema_name} CASCADE")
    outcome = await rebuilt(rig, written, archive=tmp_path, skips_bad=True)
    assert outcome.found.records == plan.to_prove == outcome.written
    assert await written.value("SELECT count(*) FROM usage") == rows
    assert (await rebuilt(rig, written, shorter=True)).is_live
    assert 0 < await written.value("SELECT count(*) FROM usage") < rows
