"""What a closed segment is: its offsets, times, counts and files, and the hash of the segment before it.

A manifest's hash is the SHA-256 of its JSON in one fixed form, and stands beside it. Each names the hash of the one before,
so none can be changed, taken out or put in between without it being seen in the next.

A manifest that takes the place of others (after compaction, or for a file built anew) holds those it replaces whole: the
chain is followed through them, and what they say of the records' bytes still has to be true of the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from events.positions import Partition
from projections.errors import ProjectionError

FORM = 1
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


class DamagedManifestError(ProjectionError):
    """A manifest is not what was written; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a segment. `path` is below the partition's folder; `part` names the tenant or provider, if any.

    `content` is about the encoded records before compression, which compaction leaves as they are.
    """

    path: str
    part: str
    schema_id: int
    records: int
    bytes: int
    sha256: str
    content_bytes: int
    content_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A segment holds the records with offsets from `first_offset` to before `next_offset` that the log held.

    `replaces` are the manifests that it took the place of, oldest first. `mends` is the hash of a lost one. `log_bytes` are
    those of the keys and values. `digest` is that of the last record (projections.tip); None of what was closed before there
    was one.
    """

    topic: str
    partition: int
    day: str
    first_offset: int
    next_offset: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    records: int
    undecoded: int
    log_bytes: int
    codec: str
    level: int
    epoch: int
    files: tuple[DataFile, ...]
    previous: str | None
    replaces: tuple[Manifest, ...] = ()
    mends: str | None = None
    digest: str | None = None

    @property
    def place(self) -> Partition:
        """The partition."""
        return Partition(self.topic, self.partition)

    @property
    def hash(self) -> str:
        """Of itself."""
        return hashlib.sha256(_dumped(_facts(self))).hexdigest()

    @property
    def tail(self) -> str:
        """The hash that the next segment names as the one before it."""
        if self.mends is not None:
            return self.mends
        return self.replaces[-1].tail if self.replaces else self.hash

    @property
    def leaves(self) -> tuple[Manifest, ...]:
        """The segments as they were closed at first."""
        return self.replaces or (self,)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.bytes for file in self.files)

    def standing_for(self, replaced: tuple[Manifest, ...]) -> Manifest:
        """The same, in the place of others."""
        leaves = tuple(leaf for one in replaced for leaf in one.leaves)
        return replace(self, previous=leaves[0].previous, replaces=leaves, mends=replaced[-1].mends)


def to_bytes(manifest: Manifest) -> bytes:
    """The file."""
    return _dumped({"manifest": _facts(manifest), "sha256": manifest.hash})


def from_bytes(name: str, raw: bytes) -> Manifest:
    """DamagedManifestError for anything but a whole file as it was written, to the byte."""
    try:
        found = orjson.loads(raw)
        manifest = _manifest(found["manifest"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedManifestError(f"{name} is no manifest: {error!r}") from None
    if to_bytes(manifest) != raw:
        raise DamagedManifestError(f"{name} was altered: it does not have the hash that it says")
    return manifest


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(manifest) | {"form": FORM}
    if not manifest.replaces:
        del facts["replaces"]
    else:
        facts["replaces"] = [_facts(one) for one in manifest.replaces]
    for name in ("mends", "digest"):
        if facts[name] is None:
            del facts[name]
    return facts


def _manifest(facts: dict[str, Any]) -> Manifest:
    given = dict(facts)
    if given.pop("form") != FORM:
        raise ValueError(f"its form is {facts['form']}, not {FORM}")
    given["files"] = tuple(DataFile(**file) for file in given["files"])
    given["replaces"] = tuple(_manifest(one) for one in given.get("replaces", ()))
    return Manifest(**given)


def _dumped(facts: dict[str, Any]) -> bytes:
    return orjson.dumps(facts, option=_OPTIONS)
