"""The topics of the catalogue on a real broker."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from embedded.ports import free_port
from events.broker import TopicMismatchError, TopicRefusedError, create_topics
from events.catalogue import TOPICS
from events.errors import LogUnavailableError
from events.reader import LogReader
from events.settings import LogSettings
from tests.integration.conftest import LogSettingsFactory


async def configs_of(settings: LogSettings, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        [answer] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, settings.full_name(topic))]
        )
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await admin.close()


async def test_all_topics_are_created_once(log_settings: LogSettings) -> None:
    """The first call makes all of the catalogue, the second none, and each has the partitions of the settings."""
    first = await create_topics(log_settings)
    assert [state.name for state in first] == list(TOPICS)
    assert all(state.created and state.partitions == log_settings.partitions for state in first)
    assert not any(state.created for state in await create_topics(log_settings))
    for topic in TOPICS:
        assert set(await LogReader(log_settings).ends(topic)) == set(range(log_settings.partitions))


async def test_topics_are_made_for_what_they_hold(log_settings: LogSettings) -> None:
    """Policies are kept for ever, traffic for its time, nothing is compacted, and an event of the limit fits."""
    await create_topics(log_settings)
    budgets, usage = await configs_of(log_settings, "budgets"), await configs_of(log_settings, "usage")
    assert budgets["retention.ms"] == "-1"
    assert usage["retention.ms"] == str(90 * 24 * 3600 * 1000)
    assert budgets["cleanup.policy"] == usage["cleanup.policy"] == "delete"
    assert int(usage["max.message.bytes"]) > log_settings.max_event_bytes


async def test_topics_are_created_by_many_at_once(log_settings: LogSettings) -> None:
    """Workers that start together do not trip over each other; each finds all topics there."""
    answers = await asyncio.gather(*(create_topics(log_settings) for _ in range(4)))
    assert all(len(answer) == len(TOPICS) for answer in answers)


async def test_another_partition_count_is_refused(make_log_settings: LogSettingsFactory) -> None:
    """Keys would lie elsewhere than before; the message names the setting that fits."""
    settings = make_log_settings(partitions=2)
    await create_topics(settings)
    with pytest.raises(TopicMismatchError, match="INTERLOCK_LOG__PARTITIONS=2"):
        await create_topics(settings.model_copy(update={"partitions": 3}))


async def test_nothing_is_created_beside_a_mismatch(make_log_settings: LogSettingsFactory) -> None:
    """The check comes first: a wrong setting leaves no half of the topics behind."""
    settings = make_log_settings(partitions=2)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(settings.full_name("alerts"), 1, 1)])
        await LogReader(settings).ranges("alerts")
        with pytest.raises(TopicMismatchError):
            await create_topics(settings)
        mine = [name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)]
    finally:
        await admin.close()
    assert mine == [settings.full_name("alerts")]


@pytest.mark.kafka
async def test_a_topic_that_the_broker_does_not_make_is_refused(
    make_log_settings: LogSettingsFactory,
) -> None:
    """Three copies on one broker: no waiting mends that."""
    with pytest.raises(TopicRefusedError, match="InvalidReplicationFactor"):
        await create_topics(make_log_settings(replication_factor=3))


async def test_an_absent_broker_is_said_within_the_bound() -> None:
    """Nobody listens at the address."""
    settings = LogSettings(bootstrap=f"127.0.0.1:{free_port()}", request_timeout_s=1.0)
    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailableError, match="no broker answers"):
            await create_topics(settings)
