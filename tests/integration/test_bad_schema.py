"""Records whose schema is not known here yet, or cannot be asked for, on the log of a worker with a schema registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from events import registry
from events.codec import Codec
from events.dead_letters import redrive
from events.partitioner import partition_of
from events.registry import SCHEMA_NOT_FOUND, ConfluentRegistry, FolderRegistry
from events.usage_recorded import UsageRecorded
from processors import metrics
from tests.integration.live_server import eventually, live_server
from tests.integration.registry_server import RegistryServer, registry_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.test_events_registry import next_version
from tests.integration.traffic import TENANTS, now_us, usage

KEY = b"later"
HOME = partition_of(KEY, 2)
ELSEWHERE = next(name for name in TENANTS if partition_of(name.encode(), 2) != HOME)


@pytest.fixture(scope="module")
def schemas() -> Iterator[RegistryServer]:
    """A registry."""
    with registry_server() as server:
        yield server


@pytest.fixture(scope="module")
async def rig(
    log_address: str, schemas: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rig]:
    """One worker that asks the registry for ids."""
    settings = settings_of_worker(log_address, registry_url=schemas.url)
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings, server.settings()) as rig,
        rig.worker(),
    ):
        await rig.append(usage(ELSEWHERE))
        await rig.folded()
        yield rig


def of_later_release(rig: Rig, schemas: RegistryServer, folder: Path, field: str) -> bytes:
    """A usage record that a later release wrote, with a field that is not known here; its schema is registered."""
    later = Codec(
        ConfluentRegistry(
            schemas.url,
            rig.log.topic_prefix,
            FolderRegistry(next_version(folder, {"name": field, "default": "x"})),
        )
    )
    header, _ = later._learn_writer(UsageRecorded)
    return header + rig.codec.encode(usage("later"))[len(header) :] + b"\x02y"


async def test_a_compatible_later_version_is_read(rig: Rig, schemas: RegistryServer, tmp_path: Path) -> None:
    """Its unknown field is passed over."""
    raw = of_later_release(rig, schemas, tmp_path, "new")
    await rig.append_raw("usage", HOME, key=KEY, value=raw)
    await rig.folded()
    assert await rig.letters() == []
    assert await rig.violations() == []


async def test_a_letter_is_redriven_when_its_schema_is_known(
    rig: Rig, schemas: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused first, since nobody knows the id; counted once when it comes again."""
    monkeypatch.setattr(registry, "UNKNOWN_FOR_S", 0.0)
    raw = of_later_release(rig, schemas, tmp_path, "newer")
    with monkeypatch.context() as nobody_knows_it:
        nobody_knows_it.setattr(schemas, "find", lambda _: (404, {"error_code": SCHEMA_NOT_FOUND}))
        await rig.append_raw("usage", HOME, key=KEY, value=raw)
        await rig.folded()
    [letter] = await rig.letters()
    assert (letter.reason, letter.value, letter.redriven) == ("unknown_schema", raw, False)
    calls = (await rig.spent("later")).calls
    await redrive(letter, rig.publisher, rig.log, "ops", now_us())
    await rig.folded()
    [letter] = await rig.letters()
    assert letter.redriven
    assert (await rig.spent("later")).calls == calls + 1


async def test_a_registry_that_is_away_dead_letters_nothing(
    rig: Rig, schemas: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partition waits, the others go on, and it goes on by itself when the registry answers."""
    monkeypatch.setattr(registry, "UNKNOWN_FOR_S", 0.0)
    raw = of_later_release(rig, schemas, tmp_path, "newest")
    before = await rig.letters()
    calls, others = (await rig.spent("later")).calls, (await rig.spent(ELSEWHERE)).calls
    reopened = metrics.REOPENED.labels("log")._value
    met = reopened.get()
    schemas.failing = 503
    try:
        await rig.append_raw("usage", HOME, key=KEY, value=raw)

        async def waits() -> bool:
            return bool(reopened.get() > met + 1)

        await eventually(waits)
        await rig.append(usage(ELSEWHERE))

        async def goes_on() -> bool:
            return (await rig.spent(ELSEWHERE)).calls == others + 1

        await eventually(goes_on)
        assert await rig.letters() == before
    finally:
        schemas.failing = None
    await rig.folded()
    assert await rig.letters() == before
    assert (await rig.spent("later")).calls == calls + 1
