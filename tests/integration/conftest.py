"""The servers that the integration tests share. The log is the embedded broker, or Apache Kafka with INTERLOCK_TEST_BROKER=kafka."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest

from embedded.broker import BrokerServer
from embedded.chroma import ChromaServer
from embedded.kafka import KafkaServer
from embedded.postgres import PostgresServer
from events.settings import LogSettings
from tests.integration.log import delete_topics

Broker = BrokerServer | KafkaServer
BROKERS: dict[str, type[Broker]] = {"tansu": BrokerServer, "kafka": KafkaServer}
BROKER = os.environ.get("INTERLOCK_TEST_BROKER", "tansu")

LogSettingsFactory = Callable[..., LogSettings]
"""Settings of the shared log with topics of their own; keyword arguments replace single settings."""

_PREFIXES = count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kafka: what only Apache Kafka can do; deselected on the embedded broker"
    )
    config.addinivalue_line(
        "markers", "any_broker: what no broker makes any different; not run again on Apache Kafka"
    )
    config.addinivalue_line(
        "markers", "embedded: what only the embedded broker lets happen; deselected on Apache Kafka"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the broker of this run cannot do, and count it as deselected.

    What has nothing to do with the log, or only uses it on the way to what it proves (files, pages, commands), runs with the
    embedded broker's suite, and not a second time on Kafka.
    """
    if BROKER == "kafka":
        left_out = [item for item in items if not _is_of_kafka(item)]
    else:
        left_out = [item for item in items if item.get_closest_marker("kafka")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_of_kafka(item: pytest.Item) -> bool:
    """Whether a test says something about a real Kafka; the mark of one test counts more than that of its module."""
    marks = {mark.name for mark in item.iter_markers()}
    return "kafka" in marks or (_uses_log(item) and not marks & {"embedded", "any_broker"})


def _uses_log(item: pytest.Item) -> bool:
    """Whether a test asks for the shared log, or its module starts brokers of its own."""
    fixtures = getattr(item, "fixturenames", ())
    return "log_address" in fixtures or hasattr(getattr(item, "module", None), "log_server")


def log_server(folder: Path) -> Broker:
    """A broker of this run's kind, not started: for tests that stop and kill it."""
    return BROKERS[BROKER](folder)


@pytest.fixture(scope="session")
async def log_address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Bootstrap address of the broker that the whole run shares."""
    async with log_server(tmp_path_factory.mktemp("log")) as server:
        yield server.address


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """The PostgreSQL that the whole run shares; each test has a schema of its own in it."""
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
async def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The Chroma that the whole run shares; each test has collections of its own in it."""
    async with ChromaServer(tmp_path_factory.mktemp("chroma")) as server:
        yield server.address


@pytest.fixture
async def make_log_settings(log_address: str) -> AsyncIterator[LogSettingsFactory]:
    """Settings of the shared log; each call names topics that nobody else has. They go with the test."""
    prefixes: list[str] = []

    def make(**changed: object) -> LogSettings:
        prefixes.append(f"test{os.getpid()}-{next(_PREFIXES)}.")
        values = {
            "bootstrap": log_address,
            "topic_prefix": prefixes[-1],
            "partitions": 2,
            "request_timeout_s": 10.0,
            **changed,
        }
        return LogSettings.model_validate(values)

    yield make
    await delete_topics(log_address, *prefixes)


@pytest.fixture
def log_settings(make_log_settings: LogSettingsFactory) -> LogSettings:
    """Settings of the shared log with topics of this test's own, none of them created yet."""
    return make_log_settings()
