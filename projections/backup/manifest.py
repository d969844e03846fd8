"""What a backup is: the point that it holds the log up to, what cannot be derived from the log, and its files.

The manifest's hash is the SHA-256 of its JSON in one fixed form, and stands beside it; an incremental backup names the hash
of the one before. It is written last, and every file of the backup with its own hash stands in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import orjson

from events.positions import InvalidPositionError, Partition, Position, PositionVector
from projections.backup.errors import DamagedBackupError

FORM = 1
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


class Kind(StrEnum):
    """How a backup came by its files: all were copied, or those were linked that the one before has."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class BackupFile:
    """`path` is below the backup's `archive` folder. `linked`: it is one file on the disk with the parent's."""

    path: str
    bytes: int
    sha256: str
    linked: bool


@dataclass(frozen=True, slots=True)
class Parent:
    """The backup before an incremental one, and the hash of its manifest. Nothing of it is needed."""

    id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Point:
    """One place in the history of the whole log. What was acknowledged before `captured_us` is below it.

    `decided_to` is how far the workers' group had told that it is, which the log does not say.
    """

    captured_us: int
    positions: PositionVector
    decided_to: PositionVector


@dataclass(frozen=True, slots=True)
class Backup:
    """`interlock` is the version that made it; `topic_prefix` and `group_id` are those of the log that it was made of."""

    id: str
    kind: Kind
    parent: Parent | None
    point: Point
    interlock: str
    topic_prefix: str
    group_id: str
    files: tuple[BackupFile, ...]

    @property
    def hash(self) -> str:
        """Of itself."""
        return hashlib.sha256(_dumped(_facts(self))).hexdigest()

    @property
    def records(self) -> int:
        """How many lie below the point."""
        return sum(self.point.positions.values())

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.bytes for file in self.files)

    @property
    def copied(self) -> int:
        """Bytes of those that no other backup shares, when it was made."""
        return sum(file.bytes for file in self.files if not file.linked)


def to_bytes(backup: Backup) -> bytes:
    """The file."""
    return _dumped({"backup": _facts(backup), "sha256": backup.hash})


def from_bytes(name: str, raw: bytes) -> Backup:
    """DamagedBackupError for anything but a whole file as it was written, to the byte."""
    try:
        backup = _backup(orjson.loads(raw)["backup"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidPositionError) as error:
        raise DamagedBackupError(f"{name} is no manifest of a backup: {error!r}") from None
    if to_bytes(backup) != raw:
        raise DamagedBackupError(f"{name} was altered: it does not have the hash that it says")
    return backup


def _facts(backup: Backup) -> dict[str, Any]:
    point, parent = backup.point, backup.parent
    return {
        "form": FORM,
        "id": backup.id,
        "kind": backup.kind.value,
        "parent": None if parent is None else asdict(parent),
        "point": {
            "captured_us": point.captured_us,
            "positions": _named(point.positions),
            "decided_to": _named(point.decided_to),
        },
        "interlock": backup.interlock,
        "topic_prefix": backup.topic_prefix,
        "group_id": backup.group_id,
        "files": [asdict(file) for file in backup.files],
    }


def _backup(facts: Mapping[str, Any]) -> Backup:
    if facts["form"] != FORM:
        raise ValueError(f"its form is {facts['form']}, not {FORM}")
    point, parent = facts["point"], facts["parent"]
    return Backup(
        id=facts["id"],
        kind=Kind(facts["kind"]),
        parent=None if parent is None else Parent(**parent),
        point=Point(point["captured_us"], _vector(point["positions"]), _vector(point["decided_to"])),
        interlock=facts["interlock"],
        topic_prefix=facts["topic_prefix"],
        group_id=facts["group_id"],
        files=tuple(BackupFile(**file) for file in facts["files"]),
    )


def _named(vector: PositionVector) -> dict[str, int]:
    return {str(place): offset for place, offset in vector.items()}


def _vector(named: Mapping[str, int]) -> dict[Partition, int]:
    found = (Position.parse(f"{place}:{offset}") for place, offset in named.items())
    return {Partition(one.topic, one.partition): one.offset for one in found}


def _dumped(facts: Mapping[str, Any]) -> bytes:
    return orjson.dumps(facts, option=_OPTIONS)
