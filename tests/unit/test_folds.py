"""What the projections make of the same events: when that changes, `FOLDS` has to."""

from __future__ import annotations

import random as global_random
from collections.abc import Iterable
from hashlib import sha256
from random import Random

import orjson

from events.catalogue import TOPICS
from events.codec import Codec, from_record
from events.positions import Partition
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.analytics.drafts import drafts
from projections.analytics.windows import ASPECT_OF_TOPIC, Lengths, Window, contributions
from projections.history.recent import Recent
from projections.history.rollups import TALLIES
from projections.history.rows import Batch, RowReader
from projections.history.tables import derive_tables
from projections.made_with import FOLDS, Projection
from tests.golden import raw_of
from tests.integration.history.place import Record
from tests.simulation.chaos import OneFate
from tests.simulation.cluster import Cluster
from tests.simulation.plan import Plan
from tests.simulation.process import Fate
from tests.simulation.scenario import drained
from tests.simulation.virtual_time import run
from tests.simulation.world import World

KNOWN = {
    Projection.LIVE: (1, "67a6b545d5970b08"),
    Projection.HISTORY: (1, "564a6d713b8daaff"),
    Projection.ANALYTICS: (1, "581cbcb67fe9f0d0"),
}
"""The fold, and a digest of what it makes of the events below."""

GOLDEN = {
    "usage": "usage_recorded.v1",
    "adjustments": "spend_adjusted.v1",
    "routing": "routing_decided.v1",
    "outcomes": "outcomes_observed.v2",
    "breakers": "breaker_transitioned.v1",
    "health": "provider_health_checked.v1",
    "budgets": "budget_changed.v1",
    "providers": "provider_changed.v1",
}
CODEC = Codec(FolderRegistry())


def digest(states: Iterable[object]) -> str:
    """Of all of them, in their order."""
    summed = sha256()
    for state in states:
        summed.update(orjson.dumps(state, default=repr, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    return summed.hexdigest()[:16]


async def live_states() -> list[object]:
    """What one worker makes of three seconds of a world that breaks nothing."""
    random = Random(2)
    global_random.seed(2)
    settings = LogSettings(partitions=1, max_event_bytes=65_536)
    cluster = Cluster(settings, CODEC, OneFate(-1, Fate.KILL), random)
    cluster.start_worker()
    cluster.share_out()
    plan = Plan(duration_s=3.0, usage=12, bad=0.1, duplicates=0.1, late=0.1, operators=0.3)
    world = World(cluster, plan, random)
    world.settle()
    await world.live()
    await drained(cluster)
    states = [
        (slot, key, value.decode())
        for slot, held in cluster.states().items()
        for key, value in held.items()
        if key not in {"meta", "outbox"}
    ]
    cluster.end()
    return list(states)


def history_rows() -> Iterable[object]:
    """The rows of golden events, and the sums of the calls among them."""
    for topic, name in GOLDEN.items():
        table = derive_tables()[topic]
        event = from_record(TOPICS[topic], CODEC.decode_record(TOPICS[topic], raw_of(name)))
        key = TOPICS[topic].key_of(event).encode()
        batch = Batch([Record(topic, 0, 7, event.occurred_at // 1000, key, raw_of(name))])
        rows = list(
            RowReader(table, CODEC, LogSettings(partitions=1)).rows(Partition(topic, 0), batch, Recent())
        )
        assert rows
        yield rows
        if topic in TALLIES:
            yield list(TALLIES[topic](table.column_names).by_minute(rows).items())


def analytics_documents() -> Iterable[object]:
    """The documents of the windows that golden events make."""
    for topic in ASPECT_OF_TOPIC:
        event = from_record(TOPICS[topic], CODEC.decode_record(TOPICS[topic], raw_of(GOLDEN[topic])))
        for key, part in contributions(event, Lengths(3600, 300)):
            yield drafts(Window(key, dict(part), 8))


def held_to(projection: Projection, states: Iterable[object]) -> None:
    """The same events make the same state, unless the fold has another version."""
    found = FOLDS[projection], digest(states)
    assert found == KNOWN[projection], (
        f"the {projection} makes another state of the same events. If that is meant, raise its version in "
        f"projections/made_with.py, so that `interlock migrate` builds it anew, and note it here: {found}. If only the events of "
        "this test are others, note the digest alone"
    )


def test_the_live_state_is_as_its_version_says() -> None:
    """Folded by a worker in virtual time."""
    states = run(live_states())
    assert len(states) > 20
    held_to(Projection.LIVE, states)


def test_the_history_is_as_its_version_says() -> None:
    """Rows of every kind."""
    held_to(Projection.HISTORY, list(history_rows()))


def test_the_analytics_are_as_their_version_says() -> None:
    """Documents of every kind."""
    held_to(Projection.ANALYTICS, list(analytics_documents()))
