"""`interlock up` as a user runs it: everything comes up, is found without flags, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import orjson
import pytest

from api.rfc3339 import format_time_us
from api.supervisor import STOP_WITHIN_S
from tests.cloud_events import usage
from tests.e2e.console import Console, Up, published, running
from tests.integration.live_server import eventually

LEAN = ("--also", "none")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A user in an empty folder, whose workers join within a second."""
    return Console(tmp_path, {"INTERLOCK_LOG__SESSION_TIMEOUT_S": "2"})


def assert_nothing_is_left(up: Up, folder: Path) -> None:
    """No process, no addresses; the lock is free, as the next start in the folder shows."""
    assert up.left() == []
    assert not (folder / ".interlock" / "addresses.json").exists()


async def test_a_user_starts_everything_publishes_and_reads_an_open_breaker(console: Console) -> None:
    """From nothing to the reason of an open breaker, in five commands; Ctrl-C ends it all in order."""
    events = [usage("acme", outcome="SERVER_ERROR", cost_usd="0.5") for _ in range(5)]
    lines = b"\n".join(orjson.dumps(event) for event in events)
    async with running(console, "--workers", "2") as up:
        assert up.addresses.keys() == {"api", "log", "live", "history", "analytics"}
        appended = (await console.succeeds("events", "publish", "-", "--json", stdin=lines)).json
        assert appended["appended"] == 5
        await console.succeeds("budgets", "set", "acme", "monthly", "10", "--reason", "pilot")

        async def open_now() -> bool:
            shown = await console.run("breakers", "show", "openai/gpt-4o", "--json")
            return shown.code == 0 and shown.json["recorded_state"] == "OPEN"

        async def budgeted() -> bool:
            shown = await console.run("budgets", "show", "acme", "monthly", "--json")
            return shown.code == 0 and shown.json["calls"] == 5

        await eventually(open_now, 60)
        await eventually(budgeted, 60)
        await published(console)
        opened = format_time_us(time.time_ns() // 1000)
        listed = await console.succeeds("breakers", "list")
        assert "openai/gpt-4o" in listed.out
        assert "5 failures in a row" in listed.out
        budget = (await console.succeeds("budgets", "show", "acme", "monthly", "--json")).json
        assert (budget["spent_usd"], budget["remaining_usd"]) == ("2.5", "7.5")
        status = (await console.succeeds("status", "--json")).json
        assert len(status["workers"]) == 2

        async def in_history() -> bool:
            shown = await console.run("show", "breaker", "openai/gpt-4o", "--as-of", opened, "--json")
            return (
                shown.code == 0 and shown.json["recorded_state"] == "OPEN" and "from the history" in shown.err
            )

        await eventually(in_history, 60)
        up.interrupt()
        ended = await up.ended()
    assert ended.code == 0, ended.err
    assert "everything has stopped" in ended.err
    assert_nothing_is_left(up, console.folder)


async def test_sigterm_stops_everything_and_the_folder_is_free_again(console: Console) -> None:
    """As Ctrl-C does; the next start finds no lock, and the log as it was."""
    async with running(console, *LEAN) as up:
        await console.succeeds("events", "publish", "-", stdin=orjson.dumps(usage()))
        up.process.send_signal(signal.SIGTERM)
        assert (await up.ended()).code == 0
    assert_nothing_is_left(up, console.folder)
    async with running(console, *LEAN) as again:
        topics = (await console.succeeds("topics", "list", "--json")).json
        assert sum(topic["records"] for topic in topics if topic["topic"] == "usage") == 1
        again.interrupt()
        assert (await again.ended()).code == 0


async def test_a_server_that_crashes_stops_all_the_rest(console: Console) -> None:
    """Exit code 1, with its name and where its log lies."""
    async with running(console, *LEAN) as up:
        up.child("valkey-server").kill()
        ended = await up.ended()
    assert ended.code == 1
    assert "valkey ended with signal SIGKILL" in ended.err
    assert_nothing_is_left(up, console.folder)


async def test_an_api_that_crashes_stops_all_the_rest(console: Console) -> None:
    """There is one, and everybody's addresses lead to it."""
    async with running(console, *LEAN) as up:
        up.child("api.cli serve").kill()
        ended = await up.ended()
    assert ended.code == 1
    assert "api ended with signal SIGKILL" in ended.err
    assert_nothing_is_left(up, console.folder)


async def test_a_worker_that_crashes_is_started_again(console: Console) -> None:
    """The folds go on, and the person is told."""
    async with running(console, *LEAN) as up:
        before = (await console.succeeds("status", "--json")).json["workers"]
        up.child("api.cli work").kill()

        async def taken_over() -> bool:
            after = (await console.succeeds("status", "--json")).json["workers"]
            return bool(after) and after != before and len(after[0]["slots"]) == len(before[0]["slots"])

        await eventually(taken_over, 60)
        up.interrupt()
        ended = await up.ended()
    assert ended.code == 0
    assert "worker-1 ended with signal SIGKILL; it is started again" in ended.err


async def test_a_second_interrupt_ends_it_at_once(console: Console) -> None:
    """Also while a part does not want to stop: before it would have been killed in order."""
    async with running(console, *LEAN) as up:
        stubborn = up.child("api.cli work")
        stubborn.send_signal(signal.SIGSTOP)
        up.interrupt()
        async with asyncio.timeout(STOP_WITHIN_S):
            while up.process.returncode is None:
                up.interrupt()
                await asyncio.wait([asyncio.ensure_future(up.process.wait())], timeout=0.5)
    assert_nothing_is_left(up, console.folder)


async def test_a_killed_up_leaves_no_orphan_and_no_lock(console: Console) -> None:
    """The kernel ends what it started; the addresses that it left mislead nobody."""
    async with running(console, *LEAN) as up:
        up.process.kill()
        await up.process.wait()
    assert up.left() == []
    nobody = await console.run("status")
    assert nobody.code == 3
    async with running(console, *LEAN) as again:
        again.interrupt()
        assert (await again.ended()).code == 0


async def test_a_second_up_in_the_same_folder_is_refused(console: Console) -> None:
    """In one line that names the process which has it; the first goes on."""
    async with running(console, *LEAN) as up:
        second = await console.run("up", "--port", "0", *LEAN)
        assert second.code == 5
        assert f"in use by process {up.process.pid}" in second.err
        assert "Traceback" not in second.err
        await console.succeeds("status")
