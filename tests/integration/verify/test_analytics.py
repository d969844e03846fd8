"""The analytics against the log, on real servers: what a sink has written is equal, and what is changed is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from events.positions import Partition
from processors.rebuild.archived_log import ArchivedLog
from processors.verify.errors import OtherLogError
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoint, Checkpoints
from projections.analytics.documents import COLLECTIONS, COST, PERFORMANCE, STATES, USAGE
from projections.analytics.places import full_name
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from projections.archive.sink import ArchiveSink
from projections.archive.source import ArchiveSource
from projections.errors import SinkUnavailableError
from projections.settings import LiveSettings
from projections.tip import Tip
from tests.integration.analytics.on_a_log import (
    ONE_HOUR,
    Hands,
    hands_on,
    something_of_every_kind,
    take_all,
    told,
    verified,
    write,
)
from tests.integration.archive.archiving import archive_log, settings_of
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, now_us, usage

pytestmark = pytest.mark.any_broker

DAY_US = 86_400_000_000


@pytest.fixture
async def written(log_address: str, settings: AnalyticsSettings) -> AsyncIterator[Rig]:
    """A log with something of every kind, twice told and damaged, and the documents of it."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as rig:
        await something_of_every_kind(rig)
        await write(rig, settings)
        yield rig


@pytest.fixture
async def hands(settings: AnalyticsSettings) -> AsyncIterator[Hands]:
    """Let go at the end."""
    async with hands_on(settings) as opened:
        yield opened


async def test_what_the_sink_has_written_is_what_the_log_says(
    written: Rig, settings: AnalyticsSettings
) -> None:
    """Documents of every collection and aspect; what the sink has not taken yet is not missed."""
    found = await verified(written, settings)
    assert told(found) == []
    assert found.comparison.is_equal
    assert {kind: digest.keys > 0 for kind, digest in found.comparison.live.items()} == dict.fromkeys(
        COLLECTIONS, True
    )
    await written.append(*Traffic(written).some(20))
    again = await verified(written, settings)
    assert again.comparison.live == found.comparison.live
    assert again.comparison.is_equal


async def test_each_tampered_document_is_named_with_what_differs(
    written: Rig, settings: AnalyticsSettings, hands: Hands
) -> None:
    """Changed figures, sums, text, vector and position, a removed and a forged document."""
    usages, costs, states = [await hands.all(name) for name in (USAGE, COST, STATES)]
    [mine] = [one for one in usages if one.metadata["user"] == "nobody-else"]
    sums = str(mine.metadata["sums"]).replace('"calls":1', '"calls":2')
    await hands.put(USAGE, replace(mine, metadata={**mine.metadata, "sums": sums, "calls": 2}))
    [cost] = [one for one in costs if one.id == mine.id]
    await hands.put(COST, replace(cost, text="nothing at all"))
    [performance] = [one for one in await hands.all(PERFORMANCE) if one.id == mine.id]
    await hands.put(PERFORMANCE, replace(performance, vector=[1.0, *performance.vector[1:]]))
    [opened_in] = [
        one for one in states if (one.metadata["aspect"], one.metadata["provider"]) == ("breakers", "mistral")
    ]
    await hands.put(STATES, replace(opened_in, metadata={**opened_in.metadata, "applied": 77}))
    [lost, other] = [one for one in states if one.metadata["aspect"] == "calls"][:2]
    await hands.take(STATES, lost)
    forged = replace(mine, id="00000000-0000-4000-8000-000000000000")
    await hands.put(USAGE, forged)
    await hands.put(STATES, replace(other, id="nonsense", metadata={"aspect": "nonsense"}))
    found = await verified(written, settings)
    named = {one.key: one.how for one in found.comparison.differences}
    assert len(named) == 7, named
    window = next(name.partition(":")[2] for name in named if name.startswith(f"{PERFORMANCE}:"))
    assert window.endswith("|acme|nobody-else|openai|gpt-4o")
    assert named[f"{USAGE}:{window}"] == (
        "calls is 2 in Chroma, 1 by the log; sums.calls is 2 in Chroma, 1 by the log"
    )
    assert named[f"{COST}:{window}"].startswith(
        "text is nothing at all in Chroma, acme, user nobody-else, paid "
    )
    assert named[f"{PERFORMANCE}:{window}"] == (
        "vector is of another, in 1 of 256 places in Chroma, of its window by the log"
    )
    [breakers] = [how for name, how in named.items() if name.endswith("|breakers|mistral")]
    assert breakers == "applied is 77 in Chroma, 2 by the log"
    [calls] = [how for name, how in named.items() if name.endswith("|calls|openai")]
    assert calls.startswith("missing, the log says: {")
    assert named[f"{USAGE}:{forged.id}"].startswith("of no event on the log: {")
    assert named[f"{STATES}:nonsense"].startswith("of no event on the log: {")


async def test_documents_may_be_ahead_of_the_checkpoint_and_never_behind(
    written: Rig, settings: AnalyticsSettings, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its last step, the sink leaves what the next one accounts for; a lost write is named."""
    before = await hands.all(USAGE)
    await written.append(usage("acme", **ONE_HOUR), *Traffic(written).some(30))
    move = Checkpoints.write

    async def killed(self: Checkpoints, place: Partition, checkpoint: Checkpoint) -> None:
        if checkpoint.next_offset == ends.get(place, -1) and place.topic == "usage":
            raise SinkUnavailableError("killed")
        await move(self, place, checkpoint)

    ends = {Partition("usage", number): end for number, end in (await written.reader.ends("usage")).items()}
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", killed)
        with pytest.raises(SinkUnavailableError):
            await write(written, settings)
    after = {one.id: one for one in await hands.all(USAGE)}
    assert [one for one in before if after[one.id] != one]
    found = await verified(written, settings)
    assert told(found) == []
    assert all(found.positions[place] < end for place, end in ends.items())
    [mine] = [one for one in before if one.metadata["user"] == "nobody-else"]
    await hands.put(USAGE, mine)
    assert told(await verified(written, settings)) == []
    await write(written, settings)
    await hands.put(USAGE, mine)
    [difference] = told(await verified(written, settings))
    assert "|acme|nobody-else|openai|gpt-4o: applied is " in difference
    assert "calls is 1 in Chroma, 2 by the log" in difference


async def test_it_is_verified_while_the_sink_writes(written: Rig, settings: AnalyticsSettings) -> None:
    """Documents change between their reading and the log's; none is called a difference."""
    sink = AnalyticsSink(settings, written.codec, written.log)
    traffic = Traffic(written)
    rounds = 0

    async def flow() -> None:
        nonlocal rounds
        while True:
            await written.append(*traffic.some(15))
            await take_all(written, sink)
            rounds += 1

    flowing = asyncio.create_task(flow())
    try:
        async with asyncio.timeout(60):
            while rounds < 2:
                assert told(await verified(written, settings)) == []
    finally:
        flowing.cancel()
        await asyncio.wait([flowing])
        await sink.close()
    assert told(await verified(written, settings)) == []


async def test_documents_of_more_than_the_log_has_are_of_another_log(
    written: Rig, settings: AnalyticsSettings, hands: Hands
) -> None:
    """A checkpoint beyond the end, and one whose record is another: neither is told as a difference in every document."""
    collection = full_name(settings, CHECKPOINTS)
    checkpoints = Checkpoints(hands.chroma, collection)
    place, held = max((await checkpoints.all()).items(), key=lambda item: item[1].next_offset)
    assert held.tip is not None
    await checkpoints.write(place, replace(held, tip=Tip(held.tip.offset, "ab" * 16)))
    with pytest.raises(OtherLogError, match=f"from another record at {place}:{held.tip.offset}"):
        await verified(written, settings)
    await checkpoints.write(place, replace(held, next_offset=10_000))
    with pytest.raises(OtherLogError, match=f"hold {place} up to 10000, and the log ends at"):
        await verified(written, settings)


async def test_what_retention_deletes_is_not_missed_and_the_rest_is(
    written: Rig, settings: AnalyticsSettings, hands: Hands
) -> None:
    """A window past its time in one collection is still compared in another that keeps it for longer."""
    await written.append(usage("acme", user="old", occurred_at=now_us() - 100 * DAY_US))
    await write(written, settings)
    [cost] = [one for one in await hands.all(COST) if one.metadata["user"] == "old"]
    for expired in (1, 0):
        found = await verified(written, settings)
        assert told(found) == []
        assert found.expired == expired
        await hands.take(PERFORMANCE, cost)
    await hands.take(COST, cost)
    [difference] = told(await verified(written, settings))
    assert f"{COST}:" in difference
    assert "|acme|old|openai|gpt-4o: missing, the log says" in difference


@pytest.mark.kafka
async def test_what_the_log_has_lost_proves_nothing_without_its_archive(
    written: Rig, settings: AnalyticsSettings, hands: Hands, tmp_path: Path
) -> None:
    """Windows that may have events from before the log's beginning are counted and not judged; the archive has them."""
    folder = tmp_path / "archive"
    await archive_log(ArchiveSink(settings_of(folder), written.log), written.log)
    windows = await hands.all(USAGE)
    for number, end in (await written.reader.ends("usage")).items():
        await written.delete_below("usage", number, end)
    found = await verified(written, settings)
    assert told(found) == []
    assert found.before_log == len(windows) * 3
    await hands.take(USAGE, windows[0])
    assert told(await verified(written, settings)) == []
    [difference] = told(
        await verified(written, settings, reader=ArchivedLog(written.log, ArchiveSource(folder)))
    )
    assert f"{USAGE}:" in difference
