"""The analytics rebuilt beside the live ones, on real servers: equal to the log, beside sinks, readers and traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from events.positions import Partition
from processors.rebuild.analytics import TOPICS, AnalyticsRebuild
from processors.rebuild.analytics_back import turn_back
from processors.rebuild.errors import LogEndsEarlyError, LogStartGoneError, NoWayBackError
from processors.verify.analytics_group import AnalyticsFound
from projections.analytics.beside import Beside, SetsLock, beside
from projections.analytics.documents import COLLECTIONS, PERFORMANCE, USAGE
from projections.analytics.embedding import HashedWords
from projections.analytics.errors import VectorsDifferError
from projections.analytics.sets import Sets, drop_set, set_of
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from projections.archive.sink import ArchiveSink
from projections.lock import LockedError, LockLostError
from projections.retention.log_begin import cut
from projections.settings import LiveSettings
from tests.integration.analytics.conftest import settings_at
from tests.integration.analytics.on_a_log import Hands, hands_on, something_of_every_kind, write
from tests.integration.analytics.rebuilding import (
    caught_up,
    reading,
    rebuild_of,
    rebuilt,
    sets_of,
    sinking,
    wrong,
)
from tests.integration.archive.archiving import archive_log, settings_of
from tests.integration.live_server import eventually
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, traffic, usage


@pytest.fixture
def settings(chroma_url: str) -> AnalyticsSettings:
    """The sink writes twice a second, and leaves Chroma to others between."""
    return settings_at(chroma_url, flush_after_s=0.5)


@pytest.fixture
async def rig(log_address: str, settings: AnalyticsSettings) -> AsyncIterator[Rig]:
    """A log with something of every kind, and the analytics of it."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        await write(opened, settings)
        yield opened


async def tamper(hands: Hands) -> None:
    """A vector of another document, and a document that is gone."""
    [mine] = [one for one in await hands.all(USAGE) if one.metadata["user"] == "nobody-else"]
    await hands.put(USAGE, replace(mine, vector=[1.0, *mine.vector[1:]]))
    [same] = [one for one in await hands.all(PERFORMANCE) if one.id == mine.id]
    await hands.take(PERFORMANCE, same)


async def test_a_tampered_set_is_rebuilt_beside_a_sink_readers_and_traffic(
    rig: Rig, settings: AnalyticsSettings
) -> None:
    """Nobody has to stop and no question fails; once switched, readers and the sink go by the new set."""
    async with hands_on(settings) as hands:
        await tamper(hands)
    async with sinking(rig, settings):
        await rig.append(usage("acme", user="later"))
        await caught_up(rig, settings)
        async with reading(settings) as answers, traffic(rig):
            outcome = await rebuilt(rig, settings)
            assert outcome.is_live
            await eventually_last(answers, set_of(settings, 1).collection_prefix)
        await caught_up(rig, settings)
    assert await wrong(rig, settings) == []
    assert await sets_of(settings) == Sets(live=1, before=0)
    assert outcome.before[PERFORMANCE] < outcome.now[PERFORMANCE]
    assert outcome.found.documents >= 30
    assert outcome.has_before
    names = [settings.collection_prefix, set_of(settings, 1).collection_prefix]
    assert list(dict.fromkeys(answers)) == names
    assert answers == sorted(answers, key=names.index)


async def eventually_last(answers: list[str], prefix: str) -> None:
    """Return when the newest answer is of that set."""

    async def is_so() -> bool:
        return answers[-1] == prefix

    await eventually(is_so, 20)


@pytest.mark.any_broker
async def test_turning_back_changes_places_with_the_one_before(rig: Rig, settings: AnalyticsSettings) -> None:
    """And once more; what came in meanwhile is written into whichever is live."""
    with pytest.raises(NoWayBackError, match="no set of collections to go back to"):
        await turn_back(rig.log, settings)
    async with hands_on(settings) as hands:
        await tamper(hands)
    async with sinking(rig, settings):
        await rebuilt(rig, settings)
        await rig.append(usage("acme"))
        await caught_up(rig, settings)  # so the sink has gone over
        await rig.append(*Traffic(rig).some(20))
        await caught_up(rig, settings)
        turned = await turn_back(rig.log, settings)
        assert (turned.live, turned.before, turned.behind >= 20) == (0, 1, True)
        await caught_up(rig, settings)
        assert len(await wrong(rig, settings)) == 2
        turned = await turn_back(rig.log, settings)
        assert (turned.live, turned.before, turned.behind) == (1, 0, 0)


@pytest.mark.any_broker
async def test_lost_collections_come_back_by_the_idle_sink_that_runs_and_by_a_rebuild(
    rig: Rig, settings: AnalyticsSettings
) -> None:
    """All of them are deleted: a sink without new records notices, and a rebuild needs no sink."""
    async with sinking(rig, settings):
        await caught_up(rig, settings)
        async with beside(settings) as sets:
            await drop_set(sets.chroma, settings)
        await caught_up(rig, settings)
    assert await wrong(rig, settings) == []
    async with beside(settings) as sets:
        await drop_set(sets.chroma, settings)
    outcome = await rebuilt(rig, settings)
    assert (outcome.is_live, outcome.has_before, outcome.before) == (True, False, {})
    assert await wrong(rig, settings) == []


@pytest.mark.any_broker
async def test_a_built_set_that_is_not_what_the_log_says_is_not_made_live(
    rig: Rig, settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an interrupted rebuild has left; begun anew, it is right. Broken off before its last step, it goes on.

    The one before goes with the next rebuild, which may ask for other windows and other vectors.
    """
    async with beside(settings) as sets:
        await sets.build(1)
    await write(rig, set_of(settings, 1))
    async with hands_on(set_of(settings, 1)) as hands:
        await tamper(hands)
    outcome = await rebuilt(rig, settings)
    assert (outcome.is_live, outcome.plan.store.resumed) == (False, True)
    assert len(outcome.found.comparison.differences) == 2
    assert await sets_of(settings) == Sets(live=0, built=1)
    with monkeypatch.context() as patched:
        patched.setattr(Beside, "make_live", killed)
        with pytest.raises(KilledError):
            await rebuilt(rig, settings, anew=True)
    assert await sets_of(settings) == Sets(live=0, built=1)
    plan = await rebuild_of(rig, settings).plan()
    assert (plan.number, plan.store.resumed, plan.store.records) == (1, True, 0)
    assert (await rebuilt(rig, settings)).is_live
    monkeypatch.setattr(HashedWords, "name", "features-of-another-release")
    with pytest.raises(VectorsDifferError, match="interlock rebuild analytics --anew"):
        await write(rig, set_of(settings, 1))
    longer = settings.model_copy(update={"window_s": 7_200})
    assert (await rebuilt(rig, longer)).is_live
    assert await wrong(rig, longer) == []
    assert await sets_of(settings) == Sets(live=2, before=1)
    async with beside(settings) as sets:
        assert await sets.counts(0) == {}


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it happens."""


async def killed(*_: object) -> None:
    """Instead of the last step."""
    raise KilledError


async def test_analytics_of_another_log_are_built_of_this_one_only_when_told_so(
    rig: Rig, settings: AnalyticsSettings, log_address: str
) -> None:
    """A log that came back empty: the sink waits, and goes on with what is built of the new log."""
    async with (
        Rig(settings_of_worker(log_address), LiveSettings()) as other,
        sinking(other, settings),
    ):
        await other.append(usage("globex"))
        with pytest.raises(LogEndsEarlyError, match=r"the live set has .* the log ends at .* with --shorter"):
            await rebuilt(other, settings)
        assert (await rebuilt(other, settings, shorter=True)).is_live
        await other.append(usage("globex"))
        await caught_up(other, settings)
        assert await wrong(other, settings) == []
        assert await wrong(rig, settings, 0) == []


async def test_the_lock_of_one_who_is_silent_is_taken_away_and_he_stops(
    settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another machine, whose processes cannot be seen from here."""
    monkeypatch.setattr("projections.analytics.beside.RENEW_EVERY_S", 0.1)
    monkeypatch.setattr("projections.lock.RENEW_EVERY_S", 0.02)
    async with beside(settings) as mine, beside(settings) as theirs:
        async with SetsLock(mine.chroma, settings):
            with pytest.raises(LockedError, match=r"works on the analytics: .*:[0-9]+; wait until it has"):
                await SetsLock(theirs.chroma, settings).take()
        monkeypatch.setattr("projections.analytics.beside.LASTS_S", 0.3)
        silent, next_one = SetsLock(mine.chroma, settings), SetsLock(theirs.chroma, settings)
        silent.token = "elsewhere:1:0"
        await silent.take()
        await next_one.take()
        assert not await silent.renew()
        assert await next_one.renew()
        await next_one.let_go()
        async with SetsLock(mine.chroma, settings) as lost:
            await theirs.chroma.about(f"{settings.collection_prefix}lock")
            await theirs.chroma.take_away(f"{settings.collection_prefix}lock")
            with pytest.raises(LockLostError, match="the lock of the analytics is lost"):
                await lost.during(for_ever)


@pytest.mark.any_broker
async def test_a_rebuild_whose_set_another_has_opened_stops(
    rig: Rig, settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was held up for too long: what it had gathered is not written any more, and nothing is made live."""

    async def taken_over(rebuild: AnalyticsRebuild, number: int) -> AnalyticsFound:
        other = AnalyticsSink(set_of(settings, number), rig.codec, rig.log)
        for partition in range(rig.log.partitions):
            await other.open(Partition("usage", partition))
        await other.close()
        await rig.append(usage("acme"))
        return AnalyticsFound()

    monkeypatch.setattr(AnalyticsRebuild, "_proof", taken_over)
    with pytest.raises(LockLostError, match=r"was taken over by .*; another rebuild has taken over"):
        await rebuilt(rig, settings)
    assert await sets_of(settings) == Sets(live=0, built=1)


async def for_ever() -> None:
    """Work that does not end by itself."""
    await asyncio.Event().wait()


@pytest.mark.kafka
async def test_what_the_log_no_longer_holds_comes_from_the_archive(
    rig: Rig, settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Refused without it, unless the beginning may be left out; with it every document is there and proved."""
    await archive_log(ArchiveSink(settings_of(tmp_path), rig.log), rig.log)
    ends = {
        (topic, number): end for topic in TOPICS for number, end in (await rig.reader.ends(topic)).items()
    }
    await rig.append(*Traffic(rig).some(50))
    await write(rig, settings)
    async with beside(settings) as sets:
        whole = await sets.counts(0)
    assert set(whole) == set(COLLECTIONS)
    for (topic, number), end in ends.items():
        if end > 1:
            await cut(rig.log, Partition(topic, number), end * 2 // 3)
    with pytest.raises(LogStartGoneError, match=r"begins at [0-9]+, and 0 is next: .* --archive DIR"):
        await rebuilt(rig, settings)
    plan = await rebuild_of(rig, settings, archive=tmp_path).plan()
    assert sum(part.from_archive for part in plan.store.parts) > 50
    outcome = await rebuilt(rig, settings, archive=tmp_path)
    assert (outcome.is_live, outcome.now, outcome.found.before_log) == (True, whole, 0)
    assert (await rebuilt(rig, settings, shorter=True)).is_live
    assert 0 < await calls(set_of(settings, 2)) < await calls(set_of(settings, 1))


async def calls(settings: AnalyticsSettings) -> int:
    """All calls that the documents of usage tell of."""
    async with hands_on(settings) as hands:
        return sum(int(one.metadata["calls"]) for one in await hands.all(USAGE))
