"""A lock on a folder that the kernel gives back when its holders are gone."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from .errors import FolderInUseError

RETRY_EVERY_S = 0.05


class FolderLock:
    """flock(2) on a file in the folder.

    Children that inherit `fileno` hold it too. So after a crash the lock is free once the last orphan is gone, and
    nobody starts a server over data that another one is still writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    @property
    def fileno(self) -> int:
        """File descriptor for `Launch.keep_open`."""
        return self._fd

    async def acquire(self, within_s: float) -> None:
        """Take it, or FolderInUseError with the holder's process id when it is not free within that time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            async with asyncio.timeout(within_s):
                while not _taken(fd):  # noqa: ASYNC110 - flock tells nobody when it is free
                    await asyncio.sleep(RETRY_EVERY_S)
        except TimeoutError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise FolderInUseError(
                f"{self._path.parent} is in use by process {holder or 'unknown'}; stop that one or choose another folder"
            ) from None
        except BaseException:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give it back; nothing happens when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
