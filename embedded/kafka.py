"""A real Apache Kafka (KRaft, one node that is broker and controller), for development and tests. Needs Java 17+."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from pathlib import Path

from .errors import MissingProgramError
from .kafka_jars import kafka_jars
from .ports import HOST, free_port
from .probes import kafka_answers
from .process import Child, Launch
from .server import Server, plain_environment

FORMAT_WITHIN_S = 60.0


class KafkaServer(Server):
    """The log outlives a restart; the cluster id belongs to the folder."""

    name = "kafka"
    start_within_s = 90.0
    stop_within_s = 30.0
    _jars = Path()

    @property
    def address(self) -> str:
        """Bootstrap address, host:port."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    async def prepare(self) -> None:
        self._jars = await kafka_jars()
        if (self.data / "meta.properties").exists():
            return
        self._write_properties(port=1, controller_port=2)  # to format, which opens none
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [
            "kafka.tools.StorageTool",
            "format",
            # One argument: an id may begin with a minus.
            f"--cluster-id={cluster_id}",
            f"--config={self._properties}",
        ]
        child = await Child.spawn("kafka-storage", self._java("-Xmx128m", *tool), self.log_path)
        try:
            await child.finish(FORMAT_WITHIN_S)
        finally:
            await child.kill()

    def launch(self) -> Launch:
        self._write_properties(self.port, controller_port=free_port())
        return self._java("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "kafka.Kafka", str(self._properties))

    async def answers(self) -> bool:
        return await kafka_answers(self.port)

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, *arguments: str) -> Launch:
        home = os.environ.get("JAVA_HOME")
        java = shutil.which("java", path=f"{home}/bin" if home else None)
        if java is None:
            raise MissingProgramError("Apache Kafka needs Java 17 or newer: install `java`, or set JAVA_HOME")
        # It runs for minutes: the second compiler would cost more than its code saves.
        argv = [
            java,
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            f"{self._jars}/*",
            *arguments,
        ]
        return Launch(argv, plain_environment(), keep_open=self.keep_open)

    def _write_properties(self, port: int, controller_port: int) -> None:
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "log.dirs": self.data,
            "auto.create.topics.enable": "false",
            # one node: its own topics have one copy
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # each is mapped into memory whole, twice a segment, and tests make thousands of partitions
            "log.index.size.max.bytes": 2**18,
            # groups form at once, and tests may use short sessions
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # the default of 128 MiB is a quarter of the heap
            "log.cleaner.dedupe.buffer.size": 4 * 2**20,
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
