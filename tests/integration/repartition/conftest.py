"""An old deployment on two partitions with something of every kind, all of it folded; its worker has stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from events.envelope import OutcomeKind
from events.provider_changed import BreakerPolicy
from tests.integration.history.conftest import place
from tests.integration.live_server import live_server
from tests.integration.rebuild.site import history
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import adjusted, budget, changed, failed, routed, usage

__all__ = ["place"]


@pytest.fixture(scope="module")
async def old(log_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Nothing of it is changed by being carried: each test carries it under a name of its own."""
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings_of_worker(log_address), server.settings()) as rig,
    ):
        async with rig.worker():
            await history(rig)
            await more_of_every_kind(rig)
        yield rig


async def more_of_every_kind(rig: Rig) -> None:
    """What a history of the folds leaves out: a correction, a refused credential, records in partitions that are not theirs."""
    call = usage("acme", cost_nano_usd=5)
    await rig.append(call, adjusted(call, 50), routed("acme", "openai", "gpt-4o"))
    await rig.append(changed("tripped", BreakerPolicy(open_for_s=1, jitter=0.0)), budget("late", 1_000))
    await rig.folded()
    await rig.append(*(failed("acme", "tripped", "m") for _ in range(5)))
    await rig.append(usage("acme", "gated", "m", outcome=OutcomeKind.UNAUTHORIZED))
    value = rig.codec.encode(usage("globex"))
    for number in range(rig.log.partitions):
        await rig.append_raw("usage", number, key=b"globex", value=value)
    await rig.append_raw("usage", 0, key=None, value=value)
    await rig.folded()
