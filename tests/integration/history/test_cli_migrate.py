"""`interlock history migrate`: what it shows is what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.history.migrations.migrate import all_steps, current_revision, newest_revision
from tests.e2e.console import Console
from tests.integration.history.place import USAGE, Place, records
from tests.integration.log import usage


@pytest.fixture
def console(tmp_path: Path, place: Place) -> Console:
    """A shell whose history is the test's own schema."""
    return Console(
        tmp_path,
        {
            "INTERLOCK_HISTORY__POSTGRES_DSN": str(place.settings.postgres_dsn),
            "INTERLOCK_HISTORY__SCHEMA_NAME": place.settings.schema_name,
        },
    )


async def revision(place: Place) -> str | None:
    """Where the schema is."""
    return await current_revision(str(place.settings.postgres_dsn), place.settings.schema_name)


async def test_it_goes_to_the_newest_revision_and_back(console: Console, place: Place) -> None:
    """A dry run changes nothing, not even a schema is made; a step back is asked for."""
    every = [{"revision": step.revision, "title": step.title} for step in all_steps()]
    shown = (await console.succeeds("history", "migrate", "--dry-run", "--json")).json
    assert (shown["current"], shown["steps"], shown["done"]) == ("base", every, False)
    assert await place.value("SELECT to_regnamespace($1) IS NULL", place.settings.schema_name)
    done = (await console.succeeds("history", "migrate", "--json")).json
    assert (done["wanted"], done["steps"], done["done"]) == (newest_revision(), every, True)
    assert "no steps to take" in (await console.succeeds("history", "migrate")).out
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage()]))
    refused = await console.run("history", "migrate", "--to", "0001", stdin=b"n\n")
    assert (refused.code, await revision(place)) == (1, newest_revision())
    back = await console.succeeds("history", "migrate", "--to", "0001", "--yes")
    assert "step taken back" in back.out
    assert await revision(place) == "0001"
    await console.succeeds("history", "migrate", "--json")
    assert await place.value("SELECT count(*) FROM usage") == 1


async def test_what_it_cannot_do_is_said_in_a_line(console: Console, place: Place) -> None:
    """No such revision, one of a newer release, no Postgres, none configured."""
    unknown = await console.run("history", "migrate", "--to", "0099")
    assert (unknown.code, "there is no revision 0099" in unknown.err) == (2, True)
    await console.succeeds("history", "migrate", "--json")
    await place.ask("UPDATE alembic_version SET version_num = '0099'")
    newer = await console.run("history", "migrate")
    assert (newer.code, "a newer one has written it" in newer.err) == (5, True)
    console.environment["INTERLOCK_HISTORY__POSTGRES_DSN"] = "postgresql://nobody@127.0.0.1:1/none"
    away = await console.run("history", "migrate")
    assert (away.code, "cannot be prepared" in away.err) == (3, True)
    del console.environment["INTERLOCK_HISTORY__POSTGRES_DSN"]
    off = await console.run("history", "migrate")
    assert (off.code, "no history is configured" in off.err) == (2, True)
