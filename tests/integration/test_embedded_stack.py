"""The embedded servers are real, start and stop together, and never outlive the process that started them."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from embedded.broker import BrokerServer
from embedded.errors import FolderInUseError, StartError
from embedded.kafka import KafkaServer
from embedded.process import Child, Launch
from embedded.stack import EmbeddedStack, Part
from embedded.valkey import Keeping, ValkeyServer

GONE_WITHIN_S = 30.0
QUICK_PARTS = (Part.BROKER, Part.VALKEY)
DOUBLE = (
    "#!lua name=arithmetic\nredis.register_function('double', function(keys, args) return args[1] * 2 end)"
)
RUN_A_STACK = """
import asyncio, sys
from pathlib import Path
from embedded.stack import EmbeddedStack

async def main():
    async with EmbeddedStack(Path(sys.argv[1])) as stack:
        print(stack.addresses, flush=True)
        await stack.wait_exit()

asyncio.run(main())
"""


def offspring() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


async def gone(processes: set[psutil.Process]) -> bool:
    """Whether all of them end within a bound."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, GONE_WITHIN_S)
    return not alive


async def round_trip(bootstrap: str) -> list[bytes | None]:
    """Make a topic, append three records and read them back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("greetings", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    for value in (b"one", b"two", b"three"):
        await producer.send_and_wait("greetings", value, partition=0)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition("greetings", 0)])
    async with asyncio.timeout(30):
        values = [(await consumer.getone()).value for _ in range(3)]
    await consumer.stop()
    return values


@pytest.mark.parametrize("server", [BrokerServer, KafkaServer])
async def test_a_broker_gives_back_what_was_appended(
    server: type[BrokerServer | KafkaServer], tmp_path: Path
) -> None:
    """Tansu and Apache Kafka both take and give records through the same client."""
    async with server(tmp_path) as broker:
        assert await round_trip(broker.address) == [b"one", b"two", b"three"]


async def test_each_start_of_the_broker_is_a_log_of_its_own(tmp_path: Path) -> None:
    """A client can tell by the cluster id that the memory of the killed broker is lost."""

    async def cluster_id(bootstrap: str) -> object:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return (await admin.describe_cluster())["cluster_id"]
        finally:
            await admin.close()

    async with BrokerServer(tmp_path) as broker:
        before, address = await cluster_id(broker.address), broker.address
        await broker.kill()
        await broker.start()
        assert broker.address == address
        assert await cluster_id(broker.address) == broker.cluster_id != before


async def test_every_part_of_the_stack_answers(tmp_path: Path) -> None:
    """Each of the four servers serves a real client."""
    async with EmbeddedStack(tmp_path) as stack:
        assert await round_trip(stack.address(Part.BROKER)) == [b"one", b"two", b"three"]

        async with redis.from_url(stack.address(Part.VALKEY)) as live:
            assert await live.ping()
            await live.function_load(DOUBLE)
            assert await live.fcall("double", 0, "21") == 42

        history = await asyncpg.connect(stack.address(Part.POSTGRES))
        assert await history.fetchval("SELECT 1") == 1
        assert str(await history.fetchval("SHOW server_encoding")) == "UTF8"
        await history.close()

        async with httpx.AsyncClient() as analytics:
            heartbeat = await analytics.get(f"{stack.address(Part.CHROMA)}/api/v2/heartbeat")
        assert heartbeat.json()["nanosecond heartbeat"] > 0


async def test_stopping_leaves_no_process(tmp_path: Path) -> None:
    """After a stop there is no more child than before the start, and stopping again is harmless."""
    before = offspring()
    stack = EmbeddedStack(tmp_path)
    await stack.start()
    started = offspring() - before
    assert len(started) > len(Part)  # Postgres has processes of its own
    await stack.stop()
    assert await gone(started)
    await stack.stop()


async def test_what_postgres_committed_survives_a_crash(tmp_path: Path) -> None:
    """A killed Postgres comes back on its port with its rows."""
    async with EmbeddedStack(tmp_path, [Part.POSTGRES]) as stack:
        url = stack.address(Part.POSTGRES)
        history = await asyncpg.connect(url)
        await history.execute("CREATE TABLE kept AS SELECT 7 AS n")
        history.terminate()
        await stack.server(Part.POSTGRES).kill()
        await stack.server(Part.POSTGRES).start()
        history = await asyncpg.connect(url)
        assert await history.fetchval("SELECT n FROM kept") == 7
        await history.close()


@pytest.mark.parametrize("keeping, kept", [(Keeping.NOTHING, None), (Keeping.APPEND_ONLY_FILE, b"value")])
async def test_valkey_keeps_what_it_was_asked_to(
    keeping: Keeping, kept: bytes | None, tmp_path: Path
) -> None:
    """Without an append-only file nothing outlives a stop: there is no snapshot."""
    async with ValkeyServer(tmp_path, keeping=keeping) as valkey:
        async with redis.from_url(valkey.address) as live:
            await live.set("key", "value")
        await valkey.stop()
        await valkey.start()
        async with redis.from_url(valkey.address) as live:
            assert await live.get("key") == kept


async def test_a_killed_parent_leaves_no_orphan_and_no_lock(tmp_path: Path) -> None:
    """SIGKILL of the process that runs a stack ends all its servers, and the folder can be used again."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_A_STACK, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(60):
        assert b"postgresql://" in await parent.stdout.readline()
    servers = set(psutil.Process(parent.pid).children(recursive=True))
    assert len(servers) > len(Part)
    parent.kill()
    await parent.wait()
    assert await gone(servers)
    async with EmbeddedStack(tmp_path) as stack:
        assert stack.address(Part.POSTGRES)


async def test_two_stacks_never_share_a_folder(tmp_path: Path) -> None:
    """The second one is refused by the first one's process id; it may start when the first has stopped."""
    second = EmbeddedStack(tmp_path, QUICK_PARTS)
    async with EmbeddedStack(tmp_path, QUICK_PARTS):
        with pytest.raises(FolderInUseError, match=f"{tmp_path} is in use by process {psutil.Process().pid}"):
            await second.start()
    async with second:
        assert second.addresses.broker


async def test_an_unexpected_exit_of_a_part_is_reported(tmp_path: Path) -> None:
    """A supervisor learns which part ended and how."""
    async with EmbeddedStack(tmp_path, QUICK_PARTS) as stack:
        watch = asyncio.create_task(stack.wait_exit())
        await stack.server(Part.VALKEY).kill()
        async with asyncio.timeout(30):
            ended = await watch
        assert (ended.part, ended.exit_code) == (Part.VALKEY, -signal.SIGKILL)


async def test_a_part_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    """When one part fails, no other runs on and the folder is free."""
    before = offspring()
    (tmp_path / Part.VALKEY).write_text("a file where the folder should be")
    with pytest.raises(FileExistsError):
        await EmbeddedStack(tmp_path, QUICK_PARTS).start()
    assert await gone(offspring() - before)
    async with EmbeddedStack(tmp_path, [Part.BROKER]) as stack:
        assert stack.addresses.broker


async def test_a_failed_start_shows_what_the_server_said(tmp_path: Path) -> None:
    """The error carries the end of the server's log."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError, match="in use"):
        await ValkeyServer(tmp_path, port=taken.getsockname()[1]).start()


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing program is an error that names it, found at once."""
    child = await Child.spawn("ghost", Launch(["/nowhere/ghost"]), tmp_path / "log")
    with pytest.raises(StartError, match="cannot run /nowhere/ghost: No such file"):
        await child.finish(within_s=30)


async def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    """Stopping is bounded: after the wait comes SIGKILL, for the child's own children too."""
    deaf = "trap '' TERM; sleep 600 & echo ready; wait; wait"
    child = await Child.spawn("deaf", Launch(["sh", "-c", deaf]), tmp_path / "log")

    async def says_ready() -> bool:
        return "ready" in child.log_tail()

    await child.until(says_ready, within_s=30)
    family = {psutil.Process(child.pid), *psutil.Process(child.pid).children()}
    assert len(family) == 2
    assert await child.stop(within_s=0.1) == -signal.SIGKILL
    assert await gone(family)
