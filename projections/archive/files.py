"""Files that are there whole or not at all, also after the power fails."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from projections.archive.layout import PARTIAL


def put(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file under another name, and give it its own once it is on the disk; one of that name is replaced."""
    partial = _written(path, chunks)
    try:
        partial.rename(path)
    except BaseException:
        discard(partial)
        raise
    sync_folder(path.parent)


def put_new(path: Path, content: bytes) -> None:
    """As `put`; FileExistsError when there is one of that name."""
    partial = _written(path, [content])
    try:
        path.hardlink_to(partial)
    finally:
        discard(partial)
    sync_folder(path.parent)


def discard(path: Path) -> None:
    """Remove a file if it can be; what stays is found as left over."""
    with suppress(OSError):
        path.unlink()


def make_folders(path: Path) -> None:
    """A folder and those above it, each on the disk before the next."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Returns once the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _written(path: Path, chunks: Iterable[bytes]) -> Path:
    partial = path.with_name(f"{PARTIAL}{uuid4().hex}")
    try:
        with partial.open("xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        discard(partial)
        raise
    return partial
