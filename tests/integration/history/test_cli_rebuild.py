"""`interlock rebuild history` as a process: planned, killed and run again, refused beside another, and turned back."""

from __future__ import annotations

import pytest

from projections.errors import SchemaBusyError
from projections.history.beside import next_of
from tests.e2e.console import Console
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import (
    ends_of,
    rebuild_of,
    rebuilt,
    wrong,
)
from tests.integration.live_server import eventually
from tests.integration.rig import Rig

pytestmark = pytest.mark.any_broker

KILLED_WITHIN_S = 30.0
COST = "SELECT cost_nano_usd FROM usage WHERE \"user\" = 'tampered'"


async def written(built: Place) -> int:
    """How many records the schema that is built has."""
    if await built.value("SELECT to_regclass('checkpoints') IS NULL"):
        return 0
    return int(await built.value("SELECT coalesce(sum(next_offset), 0) FROM checkpoints"))


async def test_killed_while_it_writes_and_while_it_proves_it_goes_on(
    console: Console, rig: Rig, place: Place
) -> None:
    """Beside it another is refused, who holds it is said, and a plan is made; what is written is not written again."""
    built = Place(next_of(place.settings))
    records = sum((await ends_of(rig)).values())

    async def has_written() -> bool:
        return await written(built) >= 60

    async def proves() -> bool:
        return bool(
            await place.value(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'interlock-verify'"
            )
        )

    child = await console.start("rebuild", "history", "--max-events-per-s", "50")
    try:
        await eventually(has_written, KILLED_WITHIN_S)
        with pytest.raises(SchemaBusyError, match=f"interlock-rebuild, process {child.pid} on .*, since 20"):
            await rebuilt(rig, place)
        plan = await rebuild_of(rig, place).plan()
        assert plan.resumed
        assert 0 < plan.records < records == plan.to_prove
    finally:
        child.kill()
        await child.wait()
    child = await console.start("rebuild", "history", "--max-events-per-s", "150")
    try:
        await eventually(proves, KILLED_WITHIN_S)
    finally:
        child.kill()
        await child.wait()
    assert await written(built) == records
    told = (await console.succeeds("rebuild", "history", "--json")).json
    assert (told["resumed"], told["written"], told["proved"], told["made_live"]) == (True, 0, records, True)
    assert {one["equal"] for one in told["before"]} == {True}
    assert await wrong(rig, place) == []


async def test_what_it_says_is_what_it_did(console: Console, rig: Rig, place: Place) -> None:
    """There and back: a tampered row is mended, and named by its month."""
    await place.ask("UPDATE usage SET cost_nano_usd = 70 WHERE \"user\" = 'tampered'")
    done = await console.succeeds("rebuild", "history")
    assert "usage " in done.out.partition("not as before")[2]
    assert "rebuild history --back" in done.out
    assert await place.value(COST) == 7
    back = (await console.succeeds("rebuild", "history", "--back", "--json")).json
    assert back == {"live": place.settings.schema_name, "behind": 0}
    assert await place.value(COST) == 70
