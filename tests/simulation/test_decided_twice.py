"""The one race that no look can mend: an append that was under way while Redis was emptied and another worker decided otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from events.envelope import Event, OutcomeKind
from events.ids import uuid7
from events.provider_changed import BreakerPolicy, ProviderChanged
from events.settings import LogSettings
from tests.integration.log import usage
from tests.simulation.chaos import OneFate
from tests.simulation.cluster import Cluster
from tests.simulation.log import record_of
from tests.simulation.process import Fate, Process
from tests.simulation.properties import violations
from tests.simulation.scenario import drained, replayed, shipped_codec
from tests.simulation.virtual_time import now_us, run

RACES = 6
"""Which topic the second worker folds first is drawn: one that folds the calls before the policy decides the same again."""


@dataclass(slots=True)
class HeldUp(OneFate):
    """The first worker stands still just before its first decision is appended, and Redis loses all."""

    random: Random = field(default_factory=Random)
    cluster: Cluster | None = None

    def latency_s(self) -> float:
        """Drawn, so that topics come in any order."""
        return self.random.uniform(0.001, 0.2)

    def at(self, process: Process, what: str) -> Fate:
        """See Fates."""
        if what != "log append breakers >" or process.name != self.process or self.met:
            return Fate.GO_ON
        assert self.cluster is not None
        self.met.append(what)
        self.cluster.redis.flush()
        _append(self.cluster, "providers", "openai", _stricter())
        return Fate.PAUSE


async def _race(random: Random) -> list[str]:
    """What is wrong in the end."""
    fate = HeldUp(0, Fate.PAUSE, random=random)
    cluster = fate.cluster = Cluster(LogSettings(partitions=1), shipped_codec(), fate, random)
    cluster.start_worker()
    cluster.share_out()
    cluster.start_worker()
    for _ in range(5):
        failure = usage(occurred_at=now_us(), outcome=OutcomeKind.TIMEOUT)
        _append(cluster, "usage", "acme", failure)
    await drained(cluster)
    await asyncio.sleep(fate.pause_s())
    _append(cluster, "usage", "acme", usage(occurred_at=now_us()))
    await drained(cluster)
    assert fate.met, "nobody was held up"
    wrong = violations(cluster) + await replayed(cluster)
    cluster.end()
    return wrong


def test_two_may_decide_and_the_first_on_the_log_counts() -> None:
    """Both transitions are there; states and a replay follow the first, and nothing else is wrong."""
    found = [one for seed in range(RACES) for one in run(_race(Random(seed)))]
    assert found, "nobody decided otherwise, so nothing was proved"
    assert [one for one in found if not one.startswith("breaker_streams_are_whole: fork of openai/")] == []


def _append(cluster: Cluster, topic: str, key: str, event: Event) -> None:
    cluster.log.append(topic, 0, record_of(key.encode(), cluster.codec.encode(event)))


def _stricter() -> ProviderChanged:
    return ProviderChanged(
        event_id=uuid7(now_us(), b"0123456789"),
        occurred_at=now_us(),
        source="test",
        tenant="",
        provider="openai",
        version=1,
        breaker_policy=BreakerPolicy(consecutive_failures=2),
        actor="ann",
    )
