"""What two states of a slot are compared by: canonical bytes per key, and an additive hash of the multiset of each kind.

The hash of a kind is the sum modulo 2^256 of SHA-256 over each key and its bytes, so it does not depend on the order in
which keys are met, and parts of it add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

_MODULUS = 2**256
_MOST_FIELDS = 8
_MOST_CHARACTERS = 120


@dataclass(slots=True)
class Digest:
    """Of some keys: how many, how many bytes, and their multiset hash."""

    keys: int = 0
    value_bytes: int = 0
    total: int = 0

    def add(self, key: str, value: bytes) -> None:
        """One key more."""
        name = key.encode()
        self.keys += 1
        self.value_bytes += len(value)
        entry = sha256(len(name).to_bytes(4, "big") + name + value).digest()
        self.total = (self.total + int.from_bytes(entry, "big")) % _MODULUS

    def plus(self, other: Digest) -> Digest:
        """Of the keys of both."""
        return Digest(
            self.keys + other.keys,
            self.value_bytes + other.value_bytes,
            (self.total + other.total) % _MODULUS,
        )

    @property
    def text(self) -> str:
        """The hash as 64 hexadecimal digits."""
        return f"{self.total:064x}"


@dataclass(frozen=True, slots=True)
class Sides:
    """How the two that are compared are called: when one of them alone has a key, and beside a value."""

    only_live: str
    only_other: str
    live: str
    other: str


GENERATIONS = Sides("only in the live generation", "only in the new generation", "live", "new")
LIVE_AND_LOG = Sides("only in the live generation", "missing, the log says", "live", "by the log")
HISTORY_AND_LOG = Sides("of no event on the log", "missing, the log says", "in the history", "by the log")
ANALYTICS_AND_LOG = Sides("of no event on the log", "missing, the log says", "in Chroma", "by the log")

MOST_NAMED = 100_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that two sides do not hold alike, and how."""

    slot: str
    key: str
    how: str

    def __str__(self) -> str:
        return f"{self.slot} {self.key}: {self.how}"


@dataclass(slots=True)
class Comparison:
    """What comparing has found: digests by kind, of the live one and of the other one, and the keys that differ."""

    sides: Sides = GENERATIONS
    live: dict[str, Digest] = field(default_factory=dict)
    new: dict[str, Digest] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    unnamed: int = 0
    """Differences beyond the first MOST_NAMED."""

    def add(self, slot: str, live: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
        """Some keys of a slot with their bytes; a key that one side does not hold is absent there."""
        for digests, values in ((self.live, live), (self.new, new)):
            for key, value in values.items():
                digests.setdefault(key.partition(":")[0], Digest()).add(f"{slot} {key}", value)
        for key in sorted(live.keys() | new.keys()):
            if live.get(key) == new.get(key):
                continue
            if len(self.differences) < MOST_NAMED:
                how = how_different(live.get(key), new.get(key), self.sides)
                self.differences.append(Difference(slot, key, how))
            else:
                self.unnamed += 1

    def merge(self, other: Comparison) -> None:
        """What another comparison has found of other keys."""
        for mine, theirs in ((self.live, other.live), (self.new, other.new)):
            for kind, digest in theirs.items():
                mine[kind] = mine.get(kind, Digest()).plus(digest)
        self.differences += other.differences
        self.unnamed += other.unnamed

    @property
    def is_equal(self) -> bool:
        """Whether both hold the same."""
        return not self.differences and self.live == self.new


def how_different(live: bytes | None, new: bytes | None, sides: Sides = GENERATIONS) -> str:
    """In words: what the live generation says, and what the other side does."""
    if live is None:
        return f"{sides.only_other}: {_short(new)}"
    if new is None:
        return f"{sides.only_live}: {_short(live)}"
    fields = _fields_that_differ("", _read(live), _read(new), sides)
    if not fields:
        return f"{sides.live} {_short(live)}, {sides.other} {_short(new)}"
    more = f" and {len(fields) - _MOST_FIELDS} more" if len(fields) > _MOST_FIELDS else ""
    return "; ".join(fields[:_MOST_FIELDS]) + more


def _fields_that_differ(path: str, live: Any, new: Any, sides: Sides) -> list[str]:
    if live == new:
        return []
    if isinstance(live, dict) and isinstance(new, dict):
        return [
            each
            for name in sorted(live.keys() | new.keys())
            for each in _fields_that_differ(
                f"{path}.{name}" if path else name, live.get(name), new.get(name), sides
            )
        ]
    return [f"{path or 'value'} is {_text(live)} {sides.live}, {_text(new)} {sides.other}"]


def _read(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return repr(raw)


def _short(raw: bytes | None) -> str:
    return _text(_read(raw or b""))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "..."
