"""`interlock backfill` as a process: planned, alone, killed and run again, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.errors import SchemaBusyError
from projections.history.beside import beside as building
from tests.e2e.console import Console
from tests.integration.history.backfilling import filled
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import rebuilt, wrong
from tests.integration.live_server import eventually
from tests.integration.rig import Rig

pytestmark = pytest.mark.any_broker

KILLED_WITHIN_S = 60.0
SINCE = ("--from", "2026-01-01T00:00:00Z")
ROWS = "SELECT count(*) FROM usage"


async def test_killed_while_it_fills_it_goes_on_and_then_changes_nothing(
    console: Console, rig: Rig, place: Place
) -> None:
    """Beside it a rebuild and another backfill are refused, as it is beside a rebuild; a plan is made whatever goes on."""
    rows = await place.value(ROWS)
    await place.ask("DELETE FROM usage")
    fill = ("backfill", "history.usage", *SINCE)

    async def has_filled() -> bool:
        return int(await place.value(ROWS)) > 0

    child = await console.start(*fill, "--max-events-per-s", "2")
    try:
        await eventually(has_filled, KILLED_WITHIN_S)
        with pytest.raises(SchemaBusyError, match=f"interlock-backfill, process {child.pid} on .*, since 20"):
            await rebuilt(rig, place)
        with pytest.raises(SchemaBusyError, match="interlock-backfill, process"):
            await filled(rig, place, "history.health")
    finally:
        child.kill()
        await child.wait()
    left = rows - await place.value(ROWS)
    async with building(place.settings):
        with pytest.raises(SchemaBusyError, match="interlock-rebuild, process"):
            await filled(rig, place, "history.usage")
        planned = (await console.succeeds(*fill, "--dry-run", "--json")).json
    assert planned["records"] >= rows > left > 0
    assert [part["partition"] for part in planned["parts"]] == ["usage-0", "usage-1"]
    done = (await console.succeeds(*fill, "--json")).json
    assert done["equal"]
    assert done["rows"] | {"events": rows} == {
        "events": rows,
        "missing": left,
        "wrong": 0,
        "refused": 0,
        "changed": left,
    }
    assert await wrong(rig, place) == []
    said = (await console.succeeds(*fill)).out
    assert f"0 of {done['rows']['events']} changed" in said
    assert "0 of" in said.partition("rollups")[2]
    await place.ask("UPDATE usage SET event_id = gen_random_uuid() WHERE \"user\" = 'kept'")
    differs = await console.run(*fill)
    assert (differs.code, "`interlock rebuild history`" in differs.err) == (1, True)


async def test_what_has_no_part_to_be_filled_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Before anything is asked of a server."""
    ended = await Console(tmp_path).run("backfill", "live", *SINCE)
    assert (ended.code, "`interlock rebuild live`" in ended.err) == (2, True)
