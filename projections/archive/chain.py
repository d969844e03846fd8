"""The segments of a partition in order, as their manifests tell it, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from events.positions import Partition
from projections.archive.layout import manifest_name
from projections.archive.manifest import DamagedManifestError, Manifest
from projections.archive.shelf import Shelf


class Fault(StrEnum):
    """What can be wrong with the archive of a partition."""

    TORN = "torn"
    ALTERED = "altered"
    MISSING = "missing"
    OVERLAPPING = "overlapping"
    BROKEN_CHAIN = "broken_chain"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, by the file that is, and the offsets that cannot be had because of it."""

    place: Partition
    fault: Fault
    file: str
    first_offset: int
    next_offset: int
    detail: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The segments that are there, in order; `replaced` are manifests whose segments a merged one holds."""

    place: Partition
    segments: tuple[Manifest, ...]
    replaced: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def next_offset(self) -> int:
        """Where the archive ends."""
        return self.segments[-1].next_offset if self.segments else 0


def read_chain(shelf: Shelf) -> Chain:
    """Follow the manifests from offset 0, or from where retention has left it to begin. Only manifests are read."""
    begin = shelf.begin()
    manifests, findings = _readable(shelf)
    manifests = [manifest for manifest in manifests if manifest.next_offset > begin.next_offset]
    segments: list[Manifest] = []
    replaced: list[int] = []
    for manifest in manifests:
        end = segments[-1].next_offset if segments else begin.next_offset
        if segments and _holds(segments[-1], manifest):
            replaced.append(manifest.first_offset)
            continue
        findings += _misfits(shelf, segments[-1].tail if segments else begin.tail, manifest, end)
        if manifest.next_offset > end:
            segments.append(manifest)
    return Chain(shelf.place, tuple(segments), tuple(replaced), tuple(findings))


def _readable(shelf: Shelf) -> tuple[list[Manifest], list[Finding]]:
    """The manifests that are whole; the others are findings, whose end is where the next one begins."""
    manifests, findings = [], []
    firsts = shelf.firsts()
    for number, first in enumerate(firsts):
        try:
            manifest = shelf.manifest(first)
        except (DamagedManifestError, FileNotFoundError) as error:
            after = firsts[number + 1] if number + 1 < len(firsts) else _told_end(shelf, first)
            findings.append(
                Finding(shelf.place, Fault.ALTERED, _name(shelf, first), first, after, str(error))
            )
        else:
            manifests.append(manifest)
    return manifests, findings


def _told_end(shelf: Shelf, first: int) -> int:
    """Where a segment ends whose manifest does not say it, by the names of its files."""
    names = (path.name for path in shelf.data_files())
    return max((int(name[21:41]) for name in names if name.startswith(f"{first:020d}-")), default=first)


def _holds(merged: Manifest, other: Manifest) -> bool:
    """Whether a merged segment has taken the place of another, whose manifest was not removed yet."""
    return merged.next_offset >= other.next_offset and all(leaf in merged.replaces for leaf in other.leaves)


def _misfits(shelf: Shelf, tail: str | None, manifest: Manifest, end: int) -> Iterator[Finding]:
    first, name = manifest.first_offset, _name(shelf, manifest.first_offset)
    if first > end:
        detail = f"no segment has the offsets from {end} to before {first}"
        yield Finding(shelf.place, Fault.MISSING, _name(shelf, end), end, first, detail)
    elif first < end:
        detail = f"the segment before it goes on until {end}"
        yield Finding(shelf.place, Fault.OVERLAPPING, name, first, min(end, manifest.next_offset), detail)
    elif manifest.previous != tail:
        detail = "it does not name the hash of the segment before it"
        yield Finding(shelf.place, Fault.BROKEN_CHAIN, name, first, first, detail)
    leaves = manifest.leaves
    yield from _broken_leaves(shelf.place, name, manifest, leaves)


def _broken_leaves(
    place: Partition, name: str, manifest: Manifest, leaves: Sequence[Manifest]
) -> Iterator[Finding]:
    """The segments that a merged one replaces have to be a chain themselves, and to cover the same offsets."""
    whole = (leaves[0].first_offset, leaves[-1].next_offset) == (manifest.first_offset, manifest.next_offset)
    links = pairwise(leaves)
    if not whole or any(
        (after.first_offset, after.previous) != (before.next_offset, before.tail) for before, after in links
    ):
        detail = "the segments that it replaces are no chain"
        yield Finding(place, Fault.BROKEN_CHAIN, name, manifest.first_offset, manifest.next_offset, detail)


def _name(shelf: Shelf, first: int) -> str:
    return str((shelf.manifests / manifest_name(first)).relative_to(shelf.archive))
