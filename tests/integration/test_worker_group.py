"""Several workers in one group: partitions move, members die, sleep and come back, and nothing is lost or doubled."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from embedded.ports import HOST, free_port
from events.envelope import Event
from processors.decisions import HELD_UP_AFTER_S
from tests.integration.crew import Crew, crew
from tests.integration.live_server import eventually, live_server, until
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.stopped import stop
from tests.integration.traffic import failed, traffic, usage


@pytest.fixture(scope="module")
async def workers(log_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    """A log of four partitions whose first named broker is away, a live store, and no worker yet."""
    folder = tmp_path_factory.mktemp("group")
    brokers = f"{HOST}:{free_port()}, {log_address}"
    async with (
        live_server(folder / "live") as server,
        Rig(settings_of_worker(brokers, partitions=4), server.settings()) as rig,
        crew(rig, folder) as hired,
    ):
        yield hired


async def test_what_was_appended_before_the_first_worker_is_folded(workers: Crew) -> None:
    """Also a large batch of failures with long texts: what is derived of it is no larger than an event may be."""
    calls: list[Event] = []
    for number in range(1_500):
        calls.append(failed("wordy", "verbose", "m", error=f"{number:04}" * 250))
        calls.append(usage("wordy", "verbose", "m"))
    await workers.rig.append(*calls)
    await workers.of(2)
    await workers.rig.folded()
    assert await workers.rig.violations() == []


async def test_a_member_that_joins_and_leaves_moves_whole_slots(workers: Crew) -> None:
    """Each partition number of every topic has one owner, before, while three share them, and after."""
    first, second = await workers.of(2)
    async with traffic(workers.rig):
        third = await workers.join()
        await workers.shared_out()
        await third.stop()
        await workers.shared_out([first, second])
    await workers.rig.folded()
    assert await workers.rig.violations() == []


async def test_a_killed_member_is_replaced_by_the_others(workers: Crew) -> None:
    """SIGKILL amid traffic: the others take its partitions over where their state says that it was."""
    first, second = await workers.of(2)
    async with traffic(workers.rig) as gateway:
        await gateway.flown(100)
        await first.kill()
        await workers.shared_out([second])
    await workers.rig.folded()
    assert await workers.rig.violations() == []


async def test_a_member_that_slept_longer_than_its_session_changes_nothing(workers: Crew) -> None:
    """What the other decided meanwhile is told once; the sleeper is fenced when it wakes up, finds out, and takes its share again."""
    first, second = await workers.of(2)
    decided = Counter(f"missed-{number}/m" for number in range(8))
    failures: list[Event] = [failed("acme", f"missed-{number}", "m") for number in range(8) for _ in range(5)]

    async def told() -> Counter[str]:
        breakers = [event.deployment for event in await workers.rig.events("breakers")]
        return Counter(name for name in breakers if name in decided)

    async def all_decided() -> bool:
        return (await told()).keys() == decided.keys()

    async with traffic(workers.rig) as gateway:
        await gateway.flown()
        await stop(first)
        slept_s = time.monotonic()
        await workers.shared_out([second])
        await gateway.append(failures)
        await eventually(all_decided)
        await until(lambda: time.monotonic() - slept_s > HELD_UP_AFTER_S)
        first.send(signal.SIGCONT)
        await workers.shared_out([first, second])
    await workers.rig.folded()
    assert [first.exit_code, second.exit_code] == [None, None], first.log_tail()
    assert await told() == decided
    assert await workers.rig.violations() == []


async def test_a_member_told_to_stop_ends_and_leaves_the_group(workers: Crew) -> None:
    """The group need not miss it: when it has ended, the other is the only member."""
    first, second = await workers.of(2)
    await workers.rig.folded()
    async with traffic(workers.rig):
        assert await first.stop() == 0, first.log_tail()
        assert await workers.rig.members() == 1
        await workers.shared_out([second])
    await workers.rig.folded()
    assert await workers.rig.violations() == []


async def test_repetitions_across_a_restart_are_dropped(workers: Crew) -> None:
    """A worker that starts knows the ids of the duplicate horizon from the log."""
    events = [usage("again", cost_nano_usd=1) for _ in range(20)]
    await workers.of(1)
    await workers.rig.append(*events)
    await workers.rig.folded()
    await workers.dismiss()
    await workers.rig.append(*events, usage("again", cost_nano_usd=1))
    await workers.of(1)
    await workers.rig.folded()
    assert await workers.rig.violations() == []
