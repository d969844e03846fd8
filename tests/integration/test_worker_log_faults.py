"""One worker whose broker sleeps, dies or comes back with another log: it waits, goes on by itself, and is exact after."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from embedded.broker import BrokerServer
from embedded.kafka import KafkaServer
from projections.live.slots import Slot
from tests.integration.conftest import log_server
from tests.integration.live_server import LiveServer, eventually, live_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.stopped import stop
from tests.integration.traffic import Traffic, traffic, usage

Broker = BrokerServer | KafkaServer


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """A broker of this module's own, to be stopped and killed."""
    async with log_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A Redis that stays."""
    async with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
async def rig(broker: Broker, live: LiveServer) -> AsyncIterator[Rig]:
    """One worker that has begun and has folded some traffic."""
    settings = settings_of_worker(broker.address, request_timeout_s=2.0)
    async with Rig(settings, live.settings()) as rig, rig.worker():
        await rig.append(*Traffic(rig).some(100))
        await rig.folded()
        yield rig


async def has_been_away(gateway: Traffic) -> None:
    """Return when the log has refused appends for longer than a session."""
    times = round(gateway.rig.log.session_timeout_s / gateway.rig.log.request_timeout_s) + 1
    before = gateway.refused

    async def is_so() -> bool:
        return gateway.refused > before + times

    await eventually(is_so, 60.0)


@asynccontextmanager
async def asleep(broker: Broker) -> AsyncIterator[None]:
    """It keeps its connections and answers nothing, then all at once."""
    await stop(broker.child)
    try:
        yield
    finally:
        broker.child.send(signal.SIGCONT)


async def test_a_broker_that_sleeps_longer_than_the_session(rig: Rig, broker: Broker) -> None:
    """The worker finds back into its group and goes on where it was."""
    async with traffic(rig) as gateway, asleep(broker):
        await has_been_away(gateway)
    await rig.folded()
    await rig.append(usage("awake"))
    await rig.folded()
    assert await rig.violations() == []


@pytest.mark.kafka
async def test_a_broker_that_is_killed_and_restarts_with_its_log(rig: Rig, broker: Broker) -> None:
    """All that was acknowledged is there, and the worker goes on without a restart."""
    async with traffic(rig) as gateway:
        await broker.kill()
        try:
            await has_been_away(gateway)
        finally:
            await broker.start()
    await rig.folded()
    await rig.append(usage("back"))
    await rig.folded()
    assert await rig.violations() == []


async def test_a_worker_stops_while_its_broker_sleeps(broker: Broker, live: LiveServer) -> None:
    """It waits for no answer longer than a few seconds."""
    async with Rig(settings_of_worker(broker.address), live.settings()) as rig, AsyncExitStack() as working:
        await working.enter_async_context(rig.worker())
        await rig.append(*Traffic(rig).some(20))
        await rig.folded()
        async with asleep(broker):
            await working.aclose()


async def test_a_replaced_log_is_begun_anew(broker: Broker, live: LiveServer) -> None:
    """New topics under the same group and namespace: a checkpoint beyond the log's end speaks of another log."""
    old = settings_of_worker(broker.address)
    namespace = live.settings()
    async with Rig(old, namespace) as rig, rig.worker():
        await rig.append(*Traffic(rig).some(200))
        await rig.folded()
    new = old.model_copy(update={"topic_prefix": f"{old.topic_prefix}new."})
    async with Rig(new, namespace) as rig, rig.worker():
        await rig.append(*Traffic(rig).some(20))
        await rig.folded()
        assert await rig.violations() == []


async def test_another_log_that_has_grown_past_the_checkpoints_is_begun_anew(
    broker: Broker, live: LiveServer
) -> None:
    """No offset tells, but the record that was folded last: it is another one there."""
    old = settings_of_worker(broker.address, partitions=1)
    namespace = live.settings()
    async with Rig(old, namespace) as rig, rig.worker():
        await rig.append(*(usage("acme") for _ in range(20)))
        await rig.folded()
    new = old.model_copy(update={"topic_prefix": f"{old.topic_prefix}grown."})
    async with Rig(new, namespace) as rig:
        await rig.append(*(usage("globex") for _ in range(30)))
        slot = Slot("usage", 0)
        checkpoint = (await rig.store.checkpoints([slot]))[slot]
        assert checkpoint.next_offsets["usage"] == 20
        assert checkpoint.tips["usage"].offset == 19
        async with rig.worker():
            await rig.folded()
            assert (await rig.spent("globex")).calls == 30
            assert await rig.violations() == []


@pytest.mark.kafka
async def test_records_that_the_log_has_deleted_are_passed_over(broker: Broker, live: LiveServer) -> None:
    """A worker that was away for longer than the retention begins with what is left, and says so."""
    async with Rig(settings_of_worker(broker.address, partitions=1), live.settings()) as rig:
        await rig.append(*(usage("acme") for _ in range(50)))
        await rig.delete_below("usage", 0, 30)
        async with rig.worker():
            await rig.folded()
            assert (await rig.spent("acme")).calls == 20
            await rig.append(usage("acme"))
            await rig.folded()
            assert (await rig.spent("acme")).calls == 21


@pytest.mark.kafka
async def test_a_partition_that_retention_has_emptied_holds_nobody_up(
    broker: Broker, live: LiveServer
) -> None:
    """No batch will ever come from it, so the checkpoint passes it when the slot opens: strong reads find nothing missing."""
    async with Rig(settings_of_worker(broker.address, partitions=1), live.settings()) as rig:
        await rig.append(*(usage("acme") for _ in range(10)))
        await rig.delete_below("usage", 0, 10)
        async with rig.worker():
            await rig.folded()
            await rig.append(usage("acme"))
            await rig.folded()
            assert (await rig.spent("acme")).calls == 1
