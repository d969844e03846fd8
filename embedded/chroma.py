"""The analytics store: `chroma run` out of the `chromadb` wheel."""

from __future__ import annotations

import importlib.util
import sys

from .errors import MissingProgramError
from .ports import HOST
from .probes import http_answers
from .process import Launch
from .server import Server, plain_environment

# The console script's own body: the script itself may not be on the path.
_RUN = "from chromadb.cli.cli import app; app()"


class ChromaServer(Server):
    """The server only stores and compares vectors; it loads no model."""

    name = "chroma"
    start_within_s = 60.0

    @property
    def address(self) -> str:
        """Base URL."""
        return f"http://{HOST}:{self.port}"

    async def prepare(self) -> None:
        if importlib.util.find_spec("chromadb") is None:
            raise MissingProgramError("the embedded analytics store needs the wheel `chromadb`")

    def launch(self) -> Launch:
        argv = [sys.executable, "-c", _RUN, "run", "--path", str(self.folder / "data")]
        argv += ["--host", HOST, "--port", str(self.port)]
        quiet = plain_environment(ANONYMIZED_TELEMETRY="False", DO_NOT_TRACK="1", NO_COLOR="1")
        return Launch(argv, quiet, keep_open=self.keep_open)

    async def answers(self) -> bool:
        return await http_answers(self.port, "/api/v2/heartbeat")
