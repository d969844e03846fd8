"""A whole deployment carried from two partitions to five, as an operator does it, and at work there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from api.cli.exits import CommandError
from api.cli.migrate_partitions import another_number, new_names
from api.cli.migrate_parts import Asked
from api.settings import Settings
from events.breaker_transitioned import BreakerState
from events.broker import partition_counts
from events.catalogue import TOPICS
from events.log_ends import LogEnds
from events.settings import LogSettings
from processors.rebuild.progress import Progress
from processors.repartition.errors import (
    BeginningGoneError,
    NothingToCarryError,
    NotStillError,
    OtherRecordsError,
)
from processors.repartition.run import Names, Options, Proof, Repartition
from processors.repartition.standstill import OldDeployment
from processors.verify.live import verify_live
from projections.archive.sink import ArchiveSink
from projections.live.breaker import Breaker, effective_epoch, effective_state
from projections.live.health import DeploymentHealth
from projections.live.keys import lock_key
from projections.live.slots import slot_of
from projections.settings import LiveSettings
from tests.e2e.console import Console
from tests.integration.archive.archiving import archive_log, settings_of
from tests.integration.crew import environment_of
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import write as write_history
from tests.integration.history.rebuilding import wrong as wrong_history
from tests.integration.live_server import eventually
from tests.integration.rebuild.site import lose_the_beginning
from tests.integration.rig import Rig
from tests.integration.traffic import TENANTS, checked, failed, now_us, traffic, usage

PARTITIONS = 5
MIGRATE = ("--partitions", str(PARTITIONS), "--json")


def console_of(rig: Rig, folder: Path) -> Console:
    """The shell of an operator of that deployment."""
    return Console(folder, environment_of("LOG", rig.log) | environment_of("LIVE", rig.live))


def sections(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings that these lines are about."""
    found: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        section, _, field = name.removeprefix("INTERLOCK_").lower().partition("__")
        found.setdefault(section, {})[field] = value
    return found


def restarted(rig: Rig, environment: Mapping[str, str]) -> Rig:
    """The deployment whose processes are restarted with these lines."""
    said = sections(environment)
    log = type(rig.log).model_validate(rig.log.model_dump() | said["log"])
    return Rig(log, rig.live.model_copy(update=said["live"]))


async def state(rig: Rig, kind: str, deployment: str) -> bytes:
    """The bytes of one live state."""
    key = f"{kind}:{deployment}"
    return (await rig.store.read(slot_of(kind, deployment, rig.log.partitions), [key]))[key]


async def breaker_of(rig: Rig, deployment: str) -> Breaker:
    """A live breaker."""
    return Breaker.from_json(await state(rig, "breaker", deployment))


async def calls_of(rig: Rig, deployment: str) -> int:
    """All calls to a deployment that its health has counted."""
    return sum(DeploymentHealth.from_json(await state(rig, "health", deployment)).totals.values())


async def keys_of(rig: Rig) -> list[str]:
    """All keys of its live state."""
    return await rig.store.connection.keys_with_prefix(rig.live.namespace + ":{")


async def probed_until_closed(rig: Rig, deployment: str) -> None:
    """Let time pass for an open breaker, and have its probes succeed."""
    opened = await breaker_of(rig, deployment)

    async def is_over() -> bool:
        return effective_state(opened, now_us()) is BreakerState.HALF_OPEN

    await eventually(is_over)
    provider, _, model = deployment.partition("/")
    epoch = effective_epoch(opened, now_us())
    await rig.append(*(usage("acme", provider, model, breaker_epoch=epoch) for _ in range(3)))
    await rig.folded()
    assert (await breaker_of(rig, deployment)).state is BreakerState.CLOSED


async def wrong_by_a_naive_fold(rig: Rig) -> list[str]:
    """What of the live state is not what the log says."""
    found = await verify_live(rig.log, rig.live, rig.codec, Progress(lambda *_: None), rig.slots)
    return list(map(str, found.comparison.differences))


async def carried(old: Rig, into: str, **options: Any) -> Proof:
    """What the command does, in this process."""
    new = new_names(Settings(log=old.log, live=old.live), PARTITIONS, into).settings
    names = (Names(old.log, old.live), Names(new.log, new.live))
    told: list[str] = []
    return await Repartition(
        *names, Options(**{"wait_s": 60.0, **options}), told.append, lambda *_: None
    ).run()


async def does_not_stand_still(old: Rig) -> None:
    """Who goes on for longer than is to be waited is told what to do."""
    async with LogEnds(old.log) as ends:
        deployment = OldDeployment(old.log, ends, old.store, old.slots, list(TOPICS))
        with pytest.raises(NotStillError, match=r"did not stand still within 0.1 s: .* Stop all producers"):
            await deployment.stands_still(0.1, lambda _: None)


async def test_it_is_the_same_deployment_and_goes_on(old: Rig, place: Place, tmp_path: Path) -> None:
    """Every state and record; new workers fold more, breakers open and close, spend is exact, and a flush changes nothing,
    not even when the group has forgotten how far all was decided.
    """
    assert (await breaker_of(old, "tripped/m")).state is BreakerState.OPEN
    console = console_of(old, tmp_path)
    console.environment.update(environment_of("HISTORY", place.settings))
    planned = (await console.succeeds("migrate", "plan", *MIGRATE)).json
    assert planned["left"] == sum(one["records"] for one in planned["topics"]) > 300
    done = (await console.succeeds("migrate", "run", "--no-backup", *MIGRATE)).json
    assert done["equal"]
    assert done["appended"] == planned["left"]
    assert done["records"].keys() == TOPICS.keys()
    assert done["states"]["digests"]["live"] == done["states"]["digests"]["new"]
    assert {"window", "raised", "spend", "index"} <= done["states"]["digests"]["live"].keys()
    assert done["environment"] == planned["environment"]
    async with restarted(old, done["environment"]) as new:
        assert new.log.partitions == PARTITIONS
        spent, calls = await old.spent("acme"), await calls_of(old, "tripped/m")
        async with new.worker():
            await probed_until_closed(new, "tripped/m")
            # In one append: with a pause between them, the breaker would be half-open for the successes.
            trips = [failed("acme", "tripped", "m") for _ in range(5)]
            late = [usage("acme", "tripped", "m", cost_nano_usd=7) for _ in range(2)]
            others = [*(usage(tenant) for tenant in TENANTS), checked("google", "gemini")]
            await new.append(*trips, *late, *others)
            await new.folded()
            derived = {topic: len(await new.events(topic)) for topic in ("outcomes", "breakers", "alerts")}
            assert await calls_of(new, "tripped/m") == calls + 10
            await new.store.connection.command("DEL", *await keys_of(new))
            await new.folded()
        new.log = new.log.model_copy(update={"group_id": f"{new.log.group_id}-anew"})
        await new.store.connection.command("DEL", *await keys_of(new))
        async with new.worker():
            await new.folded()
        again = await breaker_of(new, "tripped/m")
        assert (again.state, again.trips) == (BreakerState.OPEN, 2)
        assert await calls_of(new, "tripped/m") == calls + 10
        cost = (await new.spent("acme")).cost_nano_usd - spent.cost_nano_usd
        assert cost == 4 * 3_500_001 + 2 * 7
        assert derived == {topic: len(await new.events(topic)) for topic in derived}
        assert await wrong_by_a_naive_fold(new) == []
        there = Place(place.settings.model_copy(update=sections(done["environment"])["history"]))
        await write_history(new, there)
        assert await wrong_history(new, there) == []
        with pytest.raises(OtherRecordsError, match="the new one is at work already"):
            await carried(old, done["into"])


async def test_a_killed_run_goes_on_and_what_came_later_is_carried(
    old: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL amid the carrying: nothing lies there twice. More on the old log is found by the next run, alerts with it."""
    monkeypatch.setattr("processors.repartition.run.SETTLED_MS", 0)  # all calls are carried and folded early
    name = f"{old.live.namespace}-killed"
    environment = new_names(Settings(log=old.log, live=old.live), PARTITIONS, name).environment
    async with restarted(old, environment) as new:

        async def is_amid() -> bool:
            return sum((await new.reader.ends("usage")).values()) > 40

        run = ("migrate", "run", "--no-backup", *MIGRATE, "--into", name, "--max-events-per-s", "60")
        child = await console_of(old, tmp_path).start(*run)
        try:
            await eventually(is_amid)
        finally:
            child.kill()
            await child.wait()
        for namespace in (old.live.namespace, name):
            await old.store.connection.command("DEL", lock_key(namespace))  # as its expiry would
        done = await carried(old, name)
        total = sum(there for there, _ in done.records.values())
        assert done.is_equal
        assert 0 < done.appended < total - 40
        async with old.worker():
            async with traffic(old):
                await does_not_stand_still(old)
            await old.append(usage("late", cost_nano_usd=900))
            await old.folded()
        more = await carried(old, name)
        assert more.is_equal
        assert more.records["alerts"][0] >= done.records["alerts"][0] + 2
        assert more.appended == sum(there for there, _ in more.records.values()) - total > 20


async def test_where_nothing_is_there_is_nothing_to_carry(old: Rig) -> None:
    """A prefix that is misspelled makes no new topics."""
    nowhere = Names(old.log.model_copy(update={"topic_prefix": "nowhere."}), old.live)
    new = Names(old.log.model_copy(update={"topic_prefix": f"{old.log.topic_prefix}nothing."}), old.live)
    with pytest.raises(NothingToCarryError, match=r"there is no topic nowhere\.\*"):
        await Repartition(nowhere, new, Options(), lambda _: None, lambda *_: None).run()
    assert await partition_counts(new.log) == {}


@pytest.mark.kafka
async def test_a_log_that_lost_its_beginning_is_carried_with_its_archive(old: Rig, tmp_path: Path) -> None:
    """Refused without it, before anything is made."""
    name = f"{old.live.namespace}-archived"
    archive = settings_of(tmp_path / "archive")
    await archive_log(ArchiveSink(archive, old.log), old.log)
    await lose_the_beginning(old)
    with pytest.raises(BeginningGoneError, match="--archive DIR"):
        await carried(old, name)
    new = new_names(Settings(log=old.log, live=old.live), PARTITIONS, name)
    assert await partition_counts(new.settings.log) == {}
    async with restarted(old, new.environment):
        assert (await carried(old, name, archive=archive.folder)).is_equal


def test_what_makes_no_sense_is_refused() -> None:
    """By a line that says what to do, before anything is changed."""
    settings = Settings(log=LogSettings(), live=LiveSettings())
    for into, said in (
        ("interlock", "choose another name"),
        ("No Name", "cannot be a name"),
        ("interlock-next", "a rebuild"),
    ):
        with pytest.raises(CommandError, match=said):
            new_names(settings, PARTITIONS, into)
    with pytest.raises(CommandError, match="--partitions N"):
        another_number(settings, None, "other", None)
    with pytest.raises(CommandError, match="name no projections"):
        another_number(settings, PARTITIONS, None, ["live"])
    assert another_number(settings, settings.log.partitions, None, ["live"]) is None
    with pytest.raises(CommandError, match="--no-backup"):
        Asked().require_backup()
