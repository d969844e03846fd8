"""Generations as of an earlier time: the same as the live state was then, looked at, and never made live."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from events.breaker_overridden import OverrideMode
from events.positions import Partition
from events.until import UntilPositions, UntilTime
from processors.rebuild.building import Options
from processors.rebuild.compare import compare
from processors.rebuild.errors import LiveBehindError
from processors.rebuild.switch import switch
from projections.live.generations import GenerationError, Stage
from projections.live.store import LiveStore
from tests.integration.rebuild.site import built, generations_of, rebuilt
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic, failed, overridden, usage


async def left_behind(rig: Rig) -> int:
    """Generation 1 stays where it is now, and the time is noted; then much happens in generation 2."""
    assert (await rebuilt(rig)).is_live
    at_us = time.time_ns() // 1000
    await rig.append(*Traffic(rig).some(100), *(failed("acme", "new", "unseen") for _ in range(6)))
    for cost in (60, 70):
        await rig.append(usage("thrifty", cost_nano_usd=cost))
        await rig.folded()
    await rig.append(overridden("anthropic", None, OverrideMode.FORCED_OPEN))
    await rig.folded()
    return at_us


async def differences(rig: Rig, one: int, other: int) -> Sequence[str]:
    """Keys that differ between two generations."""
    settings = rig.live
    async with (
        LiveStore(settings.model_copy(update={"generation": one})) as first,
        LiveStore(settings.model_copy(update={"generation": other})) as second,
    ):
        return [str(each) for each in (await compare(first, second, rig.slots)).differences]


async def first_after(rig: Rig, place: Partition, at_us: int) -> int:
    """The offset of the first record whose time is after that, else the partition's end."""
    records = (await rig.records(place.topic)).get(place.number, [])
    later = (record.offset for record in records if record.timestamp * 1000 > at_us)
    return next(later, records[-1].offset + 1 if records else 0)


async def test_a_generation_as_of_then_is_the_live_state_of_then(rig: Rig) -> None:
    """By its positions every key is the same, though breakers, alerts and overrides came later; a time is such positions."""
    at_us = await left_behind(rig)
    async with LiveStore(rig.live.model_copy(update={"generation": 1})) as store:
        held = await store.checkpoints(rig.slots)
    vector = {
        Partition(topic, slot.partition): offset
        for slot, one in held.items()
        for topic, offset in one.next_offsets.items()
    }
    by_positions = await built(rig, UntilPositions(vector))
    assert {place: offset for place, offset in by_positions.positions.items() if offset} == {
        place: offset for place, offset in vector.items() if offset
    }
    assert by_positions.until.time_us <= at_us
    assert await differences(rig, 1, by_positions.plan.generation) == []
    by_time = await built(rig, UntilTime(at_us))
    assert by_time.positions == {place: await first_after(rig, place, at_us) for place in by_time.positions}
    assert await differences(rig, 2, by_time.plan.generation) != []
    known = await generations_of(rig).known()
    assert known[4].stage is Stage.AS_OF
    assert await generations_of(rig).live() == 2
    await rig.append(*Traffic(rig).some(20))
    await rig.folded()
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_it_is_neither_made_live_nor_pruned_nor_built_twice(rig: Rig) -> None:
    """The same time finds it again; a rebuild goes on beside it; what is not decided yet is refused."""
    at_us = await left_behind(rig)
    assert (await built(rig, UntilTime(at_us))).plan.generation == 3
    again = await built(rig, UntilTime(at_us))
    assert (again.plan.generation, again.plan.resumed, again.folded) == (3, True, 0)
    with pytest.raises(GenerationError, match="generation 3 is as of an earlier time"):
        await switch(rig.log, rig.store, rig.publisher, 3, although_behind=True)
    outcome = await rebuilt(rig, Options(keep=1))
    assert (outcome.plan.generation, outcome.is_live) == (4, True)
    assert list(await generations_of(rig).held()) == [3, 4]
    anew = await built(rig, UntilTime(at_us), Options(anew=True))
    assert (anew.plan.generation, anew.plan.resumed) == (5, False)
    assert list(await generations_of(rig).held()) == [4, 5]
    with pytest.raises(LiveBehindError, match=r"has folded usage-0 up to [0-9]+, not yet to 1000000"):
        await built(rig, UntilPositions({Partition("usage", 0): 1_000_000}))
    with pytest.raises(LiveBehindError, match="lies ahead"):
        await built(rig, UntilTime(time.time_ns() // 1000 + 60_000_000))
