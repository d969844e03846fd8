"""`interlock migrate` as an operator runs it, on real servers and beside a worker at work."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from events.broker import missing_topics
from events.catalogue import TOPICS
from events.positions import Partition
from events.registry import open_registry, unregistered
from projections.analytics.following import FollowingSink
from projections.analytics.settings import AnalyticsSettings
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from projections.errors import SinkUnavailableError
from projections.history.migrations.migrate import all_steps, downgrade
from projections.history.sink import HistorySink
from projections.live.keys import lock_key
from projections.live.slots import slot_of
from projections.made_with import FOLDS, Projection
from tests.e2e.console import Console
from tests.integration.analytics.on_a_log import write as write_analytics
from tests.integration.analytics.rebuilding import sets_of
from tests.integration.archive.archiving import archive_log
from tests.integration.conftest import LogSettingsFactory
from tests.integration.crew import environment_of
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import ends_of
from tests.integration.history.rebuilding import write as write_history
from tests.integration.live_server import LiveServer, eventually
from tests.integration.rebuild.site import generations_of
from tests.integration.registry_server import registry_server
from tests.integration.rig import Rig
from tests.integration.traffic import traffic

pytestmark = pytest.mark.any_broker

LATER = str(Path(__file__).with_name("later_release.py"))


def release(folder: Path, rig: Rig, **folds: int) -> Console:
    """The shell of an operator, with the command line of a release of these folds."""
    environment = environment_of("LOG", rig.log) | environment_of("LIVE", rig.live)
    return Console(folder, environment | {"LATER_FOLDS": orjson.dumps(folds).decode()}, (LATER,))


async def steps(console: Console, *projections: str) -> dict[str, str]:
    """What is to be done, and why."""
    planned = (await console.succeeds("migrate", "plan", *projections, "--json")).json
    return {step["step"]: step["why"] for step in planned["steps"]}


async def test_a_later_release_builds_all_anew_and_all_is_put_back(
    rig: Rig, place: Place, settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Planned by reasons, backed up, done in order, proved; then there is nothing to do. A sink of this release stays away from
    what the later one has made, until that is rolled back, by one flip each.
    """
    await write_history(rig, place)
    await write_analytics(rig, settings)
    archive = ArchiveSettings(folder=tmp_path / "archive")
    sink = ArchiveSink(archive, rig.log)
    await archive_log(sink, rig.log)
    await sink.close()
    tables = place.settings
    assert tables.postgres_dsn is not None
    *_, before, newest = all_steps()
    await downgrade(tables.postgres_dsn, tables.schema_name, before.revision)
    console = release(tmp_path, rig, live=2, history=2, analytics=2)
    for section, given in (("HISTORY", tables), ("ANALYTICS", settings), ("ARCHIVE", archive)):
        console.environment.update(environment_of(section, given))
    planned = await steps(console)
    building = ["verify before", "live", "history", "analytics", "verify after"]
    assert list(planned) == ["backup", "history tables", *building]
    assert planned["history tables"] == f"revision {before.revision} -> {newest.revision}"
    assert planned["live"] == planned["history"] == planned["analytics"] == "fold 1 -> 2"
    done = (await console.succeeds("migrate", "run", "--backup", "backups", "--canary", "1", "--json")).json
    figures = {step["step"]: step["done"] for step in done["steps"]}
    assert done["ended"]
    assert figures["backup"]["records"] == sum((await ends_of(rig)).values())
    for projection in ("live", "history", "analytics"):
        assert figures[projection]["canary"]["asked"] > 3
        assert figures[projection]["canary"]["differ"] == 0
        assert figures["verify after"][projection]["result"] == "equal"
    assert await generations_of(rig).live() == 2
    assert (await sets_of(settings)).live == 1
    assert await steps(console) == {}
    history = HistorySink(tables, rig.codec, rig.log)
    analytics = FollowingSink(settings, rig.codec, rig.log)
    epochs = "SELECT sum(epoch) FROM checkpoints"
    epoch, at = await place.value(epochs), Partition("usage", 0)
    for older in (history, analytics):
        with pytest.raises(SinkUnavailableError, match=rf"{older.name} of usage-0 is of fold 2.*rollback"):
            await older.open(at)
    assert await place.value(epochs) == epoch
    back = (await console.succeeds("migrate", "rollback", "--json")).json
    assert [one["projection"] for one in back] == ["analytics", "history", "live"]
    assert await generations_of(rig).live() == 1
    assert (await sets_of(settings)).live == 0
    assert await history.open(at) > 0
    assert await analytics.open(at) >= 0
    await history.close()
    await analytics.close()


async def test_a_killed_run_goes_on_where_it_was(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amid the rebuild of the live state, then beside traffic: what was done is not done again, what was built is gone on with."""
    monkeypatch.setitem(FOLDS, Projection.LIVE, 2)  # the worker is of the later release, too
    console = release(tmp_path, rig, live=2)

    async def is_building() -> bool:
        return 2 in await generations_of(rig).known()

    child = await console.start("migrate", "run", "--no-backup", "--max-events-per-s", "20")
    try:
        await eventually(is_building)
    finally:
        child.kill()
        await child.wait()
    await rig.store.connection.command("DEL", lock_key(rig.live.namespace))  # as its expiry would
    async with traffic(rig):
        done = await console.succeeds("migrate", "run", "--no-backup", "--json")
    assert "step 1 of 2: live: " in done.err
    assert "goes on with generation 2" in done.err
    figures = {step["step"]: step["done"] for step in done.json["steps"]}
    assert (figures["live"]["before"], figures["live"]["now"]) == ("1", "2")
    assert figures["verify before"]["live"]["differ"] == 0
    assert figures["verify after"]["live"]["result"] == "equal"
    await rig.store.follow()
    await rig.folded()
    assert rig.store.keyspace.generation == 2
    assert await rig.violations() == []


async def test_a_canary_that_finds_a_difference_leaves_all_as_it_was(rig: Rig, tmp_path: Path) -> None:
    """The new generation is kept to be looked at, and becomes live when its answers are accepted."""
    tampered = slot_of("breaker", "anthropic/claude", rig.log.partitions)
    key = rig.store.keyspace.prefix(tampered) + "breaker:anthropic/claude"
    document = orjson.loads(await rig.store.connection.command("GET", key))
    forged = orjson.dumps(document | {"trips": document["trips"] + 7}, option=orjson.OPT_SORT_KEYS)
    await rig.store.connection.command("SET", key, forged)
    console = release(tmp_path, rig)
    stopped = await console.run("migrate", "run", "live", "--no-backup", "--canary", "1")
    assert stopped.code == 1, stopped.err
    trips = f"trips is {document['trips'] + 7} live, {document['trips']} new"
    assert f"breaker:anthropic/claude: {trips}" in stopped.err
    assert "migrate run --tolerate 1" in stopped.err
    assert await generations_of(rig).live() == 1
    assert 2 in await generations_of(rig).held()
    nothing = await console.run("migrate", "rollback")
    assert nothing.code == 5, nothing.err
    done = await console.succeeds(
        "migrate", "run", "--no-backup", "--canary", "1", "--tolerate", "1", "--json"
    )
    figures = {step["step"]: step["done"] for step in done.json["steps"]}
    assert figures["verify before"]["live"]["differ"] == 1
    assert figures["live"]["canary"]["differ"] == 1
    assert figures["live"]["now"] == "2"
    assert figures["verify after"]["live"]["result"] == "equal"


async def test_topics_and_schemas_that_are_missing_are_made(
    make_log_settings: LogSettingsFactory, server: LiveServer, tmp_path: Path
) -> None:
    """On a new site, without a backup of nothing."""
    with registry_server() as registry:
        log = make_log_settings(registry_url=registry.url)
        console = Console(tmp_path, environment_of("LOG", log) | environment_of("LIVE", server.settings()))
        done = (await console.succeeds("migrate", "run", "--json")).json
        figures = {step["step"]: step["done"] for step in done["steps"]}
        assert sorted(figures["topics"]["created"]) == sorted(log.full_name(name) for name in TOPICS)
        assert figures["schemas"]["ids"].keys() == TOPICS.keys()
        assert await missing_topics(log) == []
        assert unregistered(open_registry(log.registry_url, log.topic_prefix, None)) == []
