"""A history whose Postgres is killed, stopped, hangs or loses its client: all of a batch or nothing, then on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedded.postgres import PostgresServer
from events.reader import LogRecord
from projections.errors import SinkUnavailableError
from projections.history.database import Connection
from projections.history.sink import HistorySink
from tests.integration.history.place import USAGE, Place, place_on, records
from tests.integration.log import NOW_US, usage

STEPS = frozenset(
    {"execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table", "copy_to_table"}
)


class DyingConnection:
    """A connection that is lost before its step of that number; `left` is below 0 when it was not reached."""

    def __init__(self, connection: Connection, left: int) -> None:
        self._connection = connection
        self.left = left

    def __getattr__(self, name: str) -> Any:
        if name in STEPS:
            self.left -= 1
            if self.left < 0:
                self._connection.terminate()
        return getattr(self._connection, name)


def lose_connection_at(sink: HistorySink, step: int) -> list[DyingConnection]:
    """Let the connections of a sink die at that step of their work; those that were lent."""
    lend = sink._database.connection
    lent: list[DyingConnection] = []

    @asynccontextmanager
    async def dying() -> AsyncIterator[DyingConnection]:
        async with lend() as connection:
            lent.append(DyingConnection(connection, step))
            yield lent[-1]

    sink._database.connection = dying  # type: ignore[method-assign, assignment]
    return lent


async def assert_exact(place: Place) -> int:
    """Rows, every rollup and the checkpoint say the same; the number of rows."""
    rows = int(await place.value("SELECT count(*) FROM usage"))
    for grain in ("minute", "hour", "day"):
        assert await place.value(f"SELECT coalesce(sum(calls), 0)::int FROM usage_by_{grain}") == rows
    refused = await place.value("SELECT count(*) FROM refused")
    assert await place.value("SELECT coalesce(sum(next_offset), 0)::int FROM checkpoints") == rows + refused
    return rows


def batch(start: int) -> list[LogRecord]:
    """New events, one of them in a month of its own, and one record that is none."""
    good = records(
        [usage(user="ann"), usage(occurred_at=NOW_US - (start + 1) * 31 * 86_400_000_000), usage()], start
    )
    (bad,) = records([usage()], start + len(good))
    object.__setattr__(bad, "value", b"\1")
    return [*good, bad]


async def test_a_sink_killed_between_any_two_steps_has_written_all_or_nothing(place: Place) -> None:
    """However far a batch came, rows, rollups and checkpoint agree, and the next owner goes on from there."""
    async with place.sink() as sink:
        await sink.open(USAGE)
    for step in count():
        async with place.sink() as sink:
            start = await sink.open(USAGE)
            lent = lose_connection_at(sink, step)
            try:
                await sink.write(USAGE, start, batch(start))
            except SinkUnavailableError:
                assert await assert_exact(place) == start * 3 // 4
            if all(one.left >= 0 for one in lent):
                break
        async with place.sink() as another:
            start = await another.open(USAGE)
            assert await another.write(USAGE, start, batch(start)) == start + 4
    assert step > 8
    await assert_exact(place)


async def test_a_stopped_postgres_is_unavailable_and_the_same_sink_goes_on_with_it(tmp_path: Path) -> None:
    """Every call fails within its bound while the server is away, and works again when it is back."""
    async with PostgresServer(tmp_path) as server:
        place = place_on(server.address, connect_timeout_s=3.0, write_timeout_s=3.0)
        async with place.sink() as sink:
            await sink.open(USAGE)
            await sink.write(USAGE, 0, records([usage()]))
            await server.kill()
            for attempt in (
                sink.write(USAGE, 1, records([usage()], 1)),
                sink.open(USAGE),
                sink.positions(),
            ):
                async with asyncio.timeout(30):
                    with pytest.raises(SinkUnavailableError):
                        await attempt
            await server.start()
            assert await sink.open(USAGE) == 1
            assert await sink.write(USAGE, 1, records([usage()], 1)) == 2
        assert await assert_exact(place) == 2


async def test_a_sink_started_before_its_postgres_finds_it_later(tmp_path: Path) -> None:
    """The schema is made with the first call that reaches the server."""
    server = PostgresServer(tmp_path)
    async with server:
        address = server.address
    place = place_on(address, connect_timeout_s=3.0)
    async with place.sink() as sink:
        with pytest.raises(SinkUnavailableError):
            await sink.open(USAGE)
        await server.start()
        try:
            assert await sink.open(USAGE) == 0
        finally:
            await server.stop()


async def test_a_hanging_postgres_is_unavailable_within_the_bound(tmp_path: Path) -> None:
    """A server that is stopped, not gone, holds nobody up; what was not answered was written whole or not at all."""
    async with PostgresServer(tmp_path) as server:
        place = place_on(server.address, write_timeout_s=3.0, connect_timeout_s=3.0)
        async with place.sink() as sink:
            await sink.open(USAGE)
            await sink.write(USAGE, 0, records([usage()]))
            family = psutil.Process(server.child.pid)
            processes = [family, *family.children(recursive=True)]
            for process in processes:
                process.send_signal(signal.SIGSTOP)
            try:
                async with asyncio.timeout(30):
                    with pytest.raises(SinkUnavailableError):
                        await sink.write(USAGE, 1, records([usage() for _ in range(3000)], 1))
            finally:
                for process in processes:
                    process.send_signal(signal.SIGCONT)
            start = await sink.open(USAGE)
            await sink.write(USAGE, start, records([usage()], start))
        assert await assert_exact(place) == start + 1


async def test_no_history_configured_is_said() -> None:
    """A sink without an address is unavailable, and says which setting is missing."""
    async with place_on("", postgres_dsn=None).sink() as sink:
        with pytest.raises(SinkUnavailableError, match=r"history\.postgres_dsn"):
            await sink.open(USAGE)
