"""A log with records of every released version of the schemas: live state, rebuild, history and naive folds agree."""

from __future__ import annotations

import pytest

from events.catalogue import TOPICS
from events.partitioner import partition_of
from processors.rebuild.progress import Progress
from processors.verify.live import verify_live
from projections.live.slots import TOPICS_OF_LEAD
from tests.golden import names, raw_of, values_of
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import write, wrong
from tests.integration.live_server import LiveServer
from tests.integration.rebuild.site import rebuilt
from tests.integration.rig import Rig, settings_of_worker

pytestmark = pytest.mark.any_broker


async def test_records_of_every_old_version_are_folded_alike(
    log_address: str, server: LiveServer, place: Place
) -> None:
    """None is a dead letter; the oldest version of a record comes first, so it is the one that counts."""
    folded = {name for topics in TOPICS_OF_LEAD.values() for name in topics}
    topic_of = {topic.folder: topic.name for topic in TOPICS.values() if topic.name in folded}
    async with Rig(settings_of_worker(log_address), server.settings()) as rig:
        told = [name for name in names() if name.partition(".")[0] in topic_of]
        assert "outcomes_observed.v1" in told
        for name in told:
            values, topic = values_of(name), topic_of[name.partition(".")[0]]
            key = (values.get("tenant") or values["provider"]).encode()
            number, at_ms = partition_of(key, rig.log.partitions), values["occurred_at"] // 1000
            await rig.append_raw(topic, number, key=key, value=raw_of(name), timestamp_ms=at_ms)
        async with rig.worker():
            await rig.folded()
            assert await rig.letters() == []
            found = await verify_live(rig.log, rig.live, rig.codec, Progress(lambda *_: None), rig.slots)
            assert found.comparison.is_equal, found.comparison.differences
            assert found.comparison.live["health"].keys == 1
            outcome = await rebuilt(rig)
            assert outcome.is_live
            assert outcome.comparison.differences == []
        await write(rig, place)
        assert await wrong(rig, place) == []
        assert await place.value("SELECT count(*) FROM outcomes") >= 1
