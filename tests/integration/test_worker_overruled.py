"""A worker whose decision comes second: another owner of its slot had appended one of the same version before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, BreakerTransitioned
from events.ids import derived_id
from processors.decisions import LOOKS_EVERY_S
from projections.live.breaker import Breaker
from projections.live.slots import slot_of
from tests.integration.live_server import eventually, live_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import failed, overridden

DEPLOYMENT = "judged/a"


@pytest.fixture(scope="module")
async def rig(log_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A log and a live store with one worker at work, and a breaker that is open."""
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings_of_worker(log_address), server.settings()) as rig,
        rig.worker(),
    ):
        await rig.append(*(failed("ops", "judged", "a") for _ in range(5)))
        await rig.folded()
        assert (await breaker(rig)).state is BreakerState.OPEN
        yield rig


async def breaker(rig: Rig) -> Breaker:
    """As it is live; at first sight of nothing, as it is while its slot begins anew."""
    slot = slot_of("breaker", DEPLOYMENT, rig.log.partitions)
    raw = (await rig.store.read(slot, [f"breaker:{DEPLOYMENT}"])).get(f"breaker:{DEPLOYMENT}")
    return Breaker(provider="judged", model="a") if raw is None else Breaker.from_json(raw)


async def stranger_decides(rig: Rig, reason: str) -> BreakerTransitioned:
    """Append the next version of the breaker, as a worker would that was held up between commit and publication."""
    number = slot_of("breaker", DEPLOYMENT, rig.log.partitions).partition
    last = max(await rig.events("breakers"), key=lambda event: event.version)
    decided: BreakerTransitioned = replace(
        last,
        event_id=derived_id(f"stranger:{DEPLOYMENT}", last.version + 1),
        version=last.version + 1,
        epoch=last.epoch + 1,
        from_state=last.to_state,
        to_state=BreakerState.DISABLED,
        reason=reason,
        open_until=None,
        outcomes_offset=(await rig.reader.ranges("outcomes"))[number].end,
        run_index=0,
        run_calls=0,
    )
    await rig.append(decided)
    return decided


async def test_the_first_decision_on_the_log_counts_for_who_made_the_second_too(rig: Rig) -> None:
    """The offset that the worker is given shows that another has written there. What it wanted, it wants after that."""
    first = await stranger_decides(rig, "first")
    await rig.append(overridden("judged", "a", OverrideMode.METRICS_ONLY))

    async def follows() -> bool:
        live = await breaker(rig)
        return (live.version, live.state) == (first.version + 1, BreakerState.METRICS_ONLY)

    await eventually(follows)
    await rig.folded()
    told = [(event.version, event.from_state, event.to_state) for event in await rig.events("breakers")]
    second = (first.version, BreakerState.OPEN, BreakerState.METRICS_ONLY)
    assert second in told, "the worker has decided nothing of its own, so nothing was proved"
    assert told[-1] == (first.version + 1, BreakerState.DISABLED, BreakerState.METRICS_ONLY)


async def test_an_idle_worker_learns_of_it_too(rig: Rig) -> None:
    """Without anything to decide it looks now and then."""
    decided = await stranger_decides(rig, "unasked")

    async def follows() -> bool:
        live = await breaker(rig)
        return (live.version, live.reason) == (decided.version, "unasked")

    await eventually(follows, 2 * LOOKS_EVERY_S)
