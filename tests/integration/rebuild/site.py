"""What the tests of rebuilds share: everything the folds know on the log, and a rebuild as the command line runs it."""

from __future__ import annotations

from events.alert_raised import AlertRaised
from events.breaker_overridden import OverrideMode
from events.positions import Partition
from events.provider_changed import BreakerPolicy
from events.until import Until
from processors.rebuild.as_of import BuiltAsOf, RebuildAsOf
from processors.rebuild.building import Options
from processors.rebuild.progress import Progress
from processors.rebuild.rebuild import Outcome, Rebuild
from projections.live.generations import Generations
from projections.live.slots import TOPICS_OF_LEAD
from projections.live.store import LiveStore
from projections.retention.log_begin import cut
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic, budget, changed, checked, failed, overridden, usage

LOST = (
    *(topic for topics in TOPICS_OF_LEAD.values() for topic in topics),
    "breakers",
    "alerts",
    "dead-letters",
)


def rebuild_of(rig: Rig, store: LiveStore, options: Options | None = None) -> Rebuild:
    """A rebuild that tells nobody how far it is."""
    progress = Progress(lambda *_: None)
    told: list[str] = []
    return Rebuild(rig.log, store, rig.codec, rig.publisher, options or Options(), progress, told.append)


async def rebuilt(rig: Rig, options: Options | None = None) -> Outcome:
    """Run one to its end; the rig then looks at the generation that is live."""
    async with LiveStore(rig.live) as store:
        outcome = await rebuild_of(rig, store, options).run()
    await rig.store.follow()
    return outcome


async def built(rig: Rig, until: Until, options: Options | None = None) -> BuiltAsOf:
    """Build a generation as of an earlier time."""
    progress = Progress(lambda *_: None)
    told: list[str] = []
    async with LiveStore(rig.live) as store:
        return await RebuildAsOf(
            rig.log, store, rig.codec, rig.publisher, options or Options(), progress, told.append, until
        ).run()


def generations_of(rig: Rig) -> Generations:
    """The generations of the rig's live store."""
    return Generations(rig.store.connection, rig.live.namespace)


async def history(rig: Rig) -> None:
    """Something of every kind, in an order that makes breakers, overrides, budgets and alerts meet; folded."""
    await rig.append(budget("thrifty", 100), changed("openai", BreakerPolicy(open_for_s=1, jitter=0.5)))
    await rig.folded()
    await rig.append(*Traffic(rig).some(150))
    await rig.append(overridden("mistral", "large", OverrideMode.FORCED_OPEN))
    await rig.append(
        overridden("nobody", "unseen", OverrideMode.NONE), overridden("nobody", None, OverrideMode.NONE)
    )
    await rig.folded()
    for cost in (49, 1, 31, 30):
        await rig.append(usage("thrifty", cost_nano_usd=cost))
        await rig.folded()
    await rig.append(overridden("mistral", None, OverrideMode.DISABLED), checked("google", "gemini"))
    await rig.append(*(failed("acme", "anthropic", "claude") for _ in range(5)))
    await rig.append(*Traffic(rig).some(100))
    await rig.append(overridden("mistral", "large", OverrideMode.NONE))
    await rig.append_raw("usage", 0, key=b"acme", value=b"no event at all")
    await rig.append_raw("overrides", 1, key=b"openai", value=None)
    await rig.folded()
    assert await rig.letters()


async def alerts(rig: Rig) -> list[str]:
    """Ids of all alerts on the log, in their order, repetitions included."""
    return [event.event_id for event in await rig.events("alerts") if isinstance(event, AlertRaised)]


async def lose_the_beginning(rig: Rig) -> None:
    """Two thirds of each partition that a rebuild reads, as retention would."""
    for topic in LOST:
        for number, end in (await rig.reader.ends(topic)).items():
            if end > 1:
                await cut(rig.log, Partition(topic, number), end * 2 // 3)
