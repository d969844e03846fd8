"""Another log takes the place of the one that a worker and a sink are reading, longer than that one, and both go on running."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from embedded.process import Child
from events.broker import create_topics
from events.positions import Partition
from events.settings import LogSettings
from projections.archive.sink import ArchiveSink
from tests.integration.archive.archiving import settings_of
from tests.integration.conftest import Broker, log_server
from tests.integration.crew import crew, spawn
from tests.integration.live_server import eventually, live_server, until
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.stopped import stop
from tests.integration.traffic import usage

NOTICED_WITHIN_S = 30.0
SESSION_S = 4.0
"""So long that neither hears of being put out of its group before it has read on."""


@asynccontextmanager
async def archived(log: LogSettings, folder: Path) -> AsyncIterator[Child]:
    """The sink of an archive, as it is run."""
    archive = settings_of(folder / "archive", segment_age_s=0.1)
    child = await spawn(["sink", "archive"], folder / "sink.log", LOG=log, ARCHIVE=archive)
    try:
        yield child
    finally:
        await child.kill()


async def exchanged(broker: Broker, rig: Rig) -> None:
    """The log is lost, and filled again beyond where the one before ended."""
    await broker.kill()
    await broker.start()
    await create_topics(rig.log)
    await rig.append(*(usage("globex") for _ in range(30)))


@pytest.mark.embedded
async def test_a_log_that_is_exchanged_under_those_who_read_it_is_noticed(tmp_path: Path) -> None:
    """The worker begins anew, as when it starts; the sink writes nothing that its store did not come from."""
    async with log_server(tmp_path / "broker") as broker, live_server(tmp_path / "live") as live:
        settings = settings_of_worker(broker.address, partitions=1, session_timeout_s=SESSION_S)
        async with (
            Rig(settings, live.settings()) as rig,
            crew(rig, tmp_path) as hired,
            archived(settings, tmp_path) as sink,
        ):
            [worker] = await hired.of(1)
            await rig.append(*(usage("acme") for _ in range(20)))
            await rig.folded()
            await eventually(partial(is_archived, rig, tmp_path), NOTICED_WITHIN_S)
            for reader in (worker, sink):
                await stop(reader)
            await exchanged(broker, rig)
            for reader in (worker, sink):
                reader.send(signal.SIGCONT)
            await rig.folded()
            assert (await rig.spent("acme")).calls == 0
            assert (await rig.spent("globex")).calls == 30
            await eventually(partial(agrees, rig), NOTICED_WITHIN_S)
            assert "the log was replaced" in worker.log_path.read_text()
            await until(lambda: "written from another log" in sink.log_path.read_text(), NOTICED_WITHIN_S)
            assert await is_archived(rig, tmp_path)


async def agrees(rig: Rig) -> bool:
    """Whether all that is live is what the log says. Checkpoints alone do not tell: of outcomes both logs have as many records."""
    return await rig.violations() == []


async def is_archived(rig: Rig, folder: Path) -> bool:
    """Whether the archive has the twenty calls of the first log, and no more."""
    archive = ArchiveSink(settings_of(folder / "archive"), rig.log)
    return (await archive.positions()).get(Partition("usage", 0)) == 20
