"""Where the servers of a running `interlock up` listen: `<data folder>/addresses.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

FILE_NAME = "addresses.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """What `interlock up` runs. `settings` has the shape of the settings file; empty when nothing runs."""

    pid: int = 0
    api_url: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)


NOTHING = Addresses()


def data_folder(environment: Mapping[str, str]) -> Path:
    """Folder of the embedded servers that `interlock up` starts."""
    return Path(environment.get("INTERLOCK_DATA") or ".interlock")


def read_addresses(folder: Path) -> Addresses:
    """What runs from that folder now; a file that a dead process left behind counts for nothing."""
    found = _read(folder)
    return found if _lives(found.pid) else NOTHING


def _read(folder: Path) -> Addresses:
    try:
        content = orjson.loads((folder / FILE_NAME).read_bytes())
        return Addresses(content["pid"], content["api_url"], content["settings"], content["servers"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return NOTHING


def write_addresses(folder: Path, addresses: Addresses) -> None:
    """Say what runs; readers see the old file or the new one, never a half."""
    content = {
        "pid": addresses.pid,
        "api_url": addresses.api_url,
        "settings": addresses.settings,
        "servers": addresses.servers,
    }
    half = folder / f".{FILE_NAME}.{addresses.pid}"
    half.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    half.replace(folder / FILE_NAME)


def remove_addresses(folder: Path, pid: int) -> None:
    """Say that nothing runs any more, unless what runs is another process's."""
    if _read(folder).pid == pid:
        (folder / FILE_NAME).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
