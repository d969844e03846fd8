"""The end of a log lost: the history as if it had never seen it, and the events that come instead are counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from bench.usage_records import usage_events
from events.reader import LogRecord
from projections.errors import FencedError
from projections.history.sketch import decode
from projections.history.take_back import LONGEST_US, TooMuchToTakeBackError, take_back
from tests.integration.history.place import USAGE, Place, Record, records
from tests.integration.log import NOW_US, usage

GRAINS = ("minute", "hour", "day")


async def write(place: Place, whole: list[LogRecord], start: int = 0) -> None:
    """What a sink does with the records from an offset on."""
    async with place.sink() as sink:
        assert await sink.open(USAGE) == start
        await sink.write(USAGE, start, whole[start:])


async def content(place: Place) -> dict[str, Any]:
    """Rows, rollups and what was refused, in an order; sketches as counts."""
    found: dict[str, Any] = {
        "usage": await place.ask("SELECT event_id, log_offset FROM usage ORDER BY log_offset"),
        "refused": await place.ask("SELECT log_offset FROM refused ORDER BY log_offset"),
        "checkpoint": await place.ask("SELECT next_offset FROM checkpoints"),
    }
    for grain in GRAINS:
        rows = await place.ask(
            f'SELECT * FROM usage_by_{grain} ORDER BY bucket, tenant, model, region, "user"'
        )
        found[grain] = [row | {"latency_sketch": decode(row["latency_sketch"])} for row in rows]
    return found


@pytest.mark.parametrize("end", [0, 1, 250])
async def test_it_is_as_if_the_lost_records_had_never_come(place: Place, beside: Place, end: int) -> None:
    """Rows, refused records, sums and sketches of every grain; and others that come to lie there are counted."""
    whole = records(usage_events(300, NOW_US))
    whole[::7] = [replace(cast("Record", one), value=b"nonsense") for one in whole[::7]]
    others = [*whole[:end], *records([usage(tenant="later") for _ in range(200)], end)]
    await write(place, whole)
    taken = await take_back(place.settings, {USAGE: end})
    assert taken.rows == len([one for one in whole[end:] if one.value != b"nonsense"])
    await write(place, others, end)
    await write(beside, others)
    assert await content(place) == await content(beside)


async def test_an_owner_of_before_is_fenced(place: Place) -> None:
    """It has sums in memory that are no longer true."""
    whole = records([usage(), usage(), usage()])
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, whole[:2])
        await take_back(place.settings, {USAGE: 1})
        with pytest.raises(FencedError):
            await sink.write(USAGE, 1, whole[1:])


async def test_nothing_goes_when_the_log_lacks_more_than_a_kill_takes(place: Place) -> None:
    """A log without its archive is no reason to throw years of history away."""
    whole = records([usage(), usage(occurred_at=NOW_US + LONGEST_US + 1_000)])
    await write(place, whole)
    before = await content(place)
    with pytest.raises(TooMuchToTakeBackError, match="none is taken back"):
        await take_back(place.settings, {})
    assert await content(place) == before


async def test_a_history_that_is_not_ahead_is_left_alone(place: Place) -> None:
    """Also one that does not exist yet: nothing is made for it."""
    assert (await take_back(place.settings, {})).rows == 0
    assert await place.value("SELECT to_regnamespace($1) IS NULL", place.settings.schema_name)
    await write(place, records([usage()]))
    assert (await take_back(place.settings, {USAGE: 1})).rows == 0
    assert await place.value("SELECT count(*) FROM usage") == 1
