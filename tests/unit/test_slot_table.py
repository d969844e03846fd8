"""The worker's table of slots, when slots are taken away while batches wait for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from events.settings import LogSettings
from processors import backlog
from processors.batching import RecordBatch
from processors.slot_runner import Ports
from processors.slot_table import SlotTable
from projections.live.slots import TOPICS_OF_LEAD
from tests.integration.log import until
from tests.simulation.log import record_of

TOPICS = TOPICS_OF_LEAD["health"]


class Consumer:
    """What a table asks of the consumer."""

    def __init__(self) -> None:
        self.held: set[TP] = set()

    def hold(self, partitions: Any) -> None:
        """Stop fetching."""
        self.held |= set(partitions)


class App:
    """What a table asks of Faust."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.reason: BaseException | None = None
        self.crashed = asyncio.Event()

    async def crash(self, reason: BaseException) -> None:
        """Stop the worker."""
        self.reason = reason
        self.crashed.set()


class NeverOpened:
    """A live store that does not answer, or whose call ends as if it had been cancelled."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None]
        self.asked = 0

    async def acquire(self, *_: object) -> None:
        """Wait for what never comes."""
        self.answer = asyncio.get_running_loop().create_future()
        self.asked += 1
        await self.answer


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def store() -> NeverOpened:
    return NeverOpened()


@pytest.fixture
async def table(app: App, store: NeverOpened) -> SlotTable:
    ports = SimpleNamespace(settings=LogSettings(), store=store, owner="me", codec=None, reader=None)
    return SlotTable(cast("Any", app), cast("Ports", ports), {"health": cast("Any", None)})


def partitions(number: int) -> set[TP]:
    """A partition number of every topic of the group."""
    return {TP(f"interlock.{topic}", number) for topic in TOPICS}


def batch_of(topic: str) -> Any:
    """An event of Faust with a batch of a topic's partition 0, of one record."""
    record = record_of(b"key", b"value", 0)
    return SimpleNamespace(value=RecordBatch(f"interlock.{topic}", 0, [record]), ack=lambda: None)


async def test_a_closed_slot_lets_go_of_all_that_wait_for_it(
    table: SlotTable, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many topics' batches were held up by it, their agents go on with other partitions."""
    monkeypatch.setattr(backlog, "MOST_RECORDS", 2)
    await table.on_assigned(partitions(0))
    assert app.consumer.held == partitions(0)
    putting = [asyncio.ensure_future(table.put(batch_of(topic))) for topic in TOPICS * 3]
    await asyncio.wait(putting, timeout=0.01)
    assert sum(put.done() for put in putting) == 2
    await table.on_revoked(partitions(0))
    done, _ = await asyncio.wait(putting, timeout=1.0)
    assert len(done) == len(putting)
    assert app.reason is None


async def test_a_slot_whose_call_is_cancelled_from_within_is_opened_anew(
    table: SlotTable, app: App, store: NeverOpened
) -> None:
    """Clients of servers cancel what waits for them; the group believes that this worker folds on, so it does."""
    await table.on_assigned(partitions(0))
    await until(lambda: store.asked == 1)
    store.answer.cancel()
    await until(lambda: store.asked == 2)
    assert app.reason is None
    await table.close()


async def test_a_slot_that_somebody_else_cancels_stops_the_worker(
    table: SlotTable, app: App, store: NeverOpened
) -> None:
    """Else nobody would ever fold it."""
    await table.on_assigned(partitions(0))
    await until(lambda: store.asked == 1)
    [running] = [task for task in asyncio.all_tasks() if task.get_name() == "slot health.0"]
    running.cancel()
    await asyncio.wait_for(app.crashed.wait(), 1.0)
    assert "slot health.0 was cancelled" in str(app.reason)
    await table.close()


async def test_a_closed_table_opens_nothing(table: SlotTable) -> None:
    """An assignment that comes while the worker stops is for those who stay."""
    await table.close()
    await table.on_assigned(partitions(0))
    await asyncio.wait_for(table.put(batch_of("outcomes")), 1.0)
