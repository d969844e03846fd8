"""The cache's entries against a model in other words: a list in the order of use, looked through from end to end."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from projections.live.entries import ENTRY_BYTES, MISSING, Entries
from projections.live.kind import Kind
from projections.live.slots import Slot

MAX_BYTES = 2_000
KINDS = {ttl: Kind(f"kind{ttl}", bytes.decode, float(ttl)) for ttl in (1, 5)}
SLOTS = (Slot("usage", 0), Slot("health", 1))
NS = 1_000_000_000

kinds = st.sampled_from(sorted(KINDS.values(), key=lambda kind: kind.ttl_s))
ids = st.sampled_from([f"id{number}" for number in range(8)])
slots = st.sampled_from(SLOTS)


@dataclass(slots=True)
class Row:
    """What the model remembers of a value."""

    key: tuple[str, str]
    slot: Slot
    value: int
    size: int
    until_ns: int


@dataclass(slots=True)
class Model:
    """Rows, the most recently used one last. Rows that ended stay until they are looked at or pushed out."""

    rows: list[Row] = field(default_factory=list)

    def row(self, key: tuple[str, str]) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    def forget(self, key: tuple[str, str]) -> None:
        self.rows = [row for row in self.rows if row.key != key]


class CacheEntries(RuleBasedStateMachine):
    """Any sequence of uses leaves both with the same answers."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.entries = Entries(MAX_BYTES, lambda: self.now_ns)
        self.model = Model()
        self.values = 0

    @rule(kind=kinds, state_id=ids, slot=slots, encoded=st.integers(0, MAX_BYTES))
    def put(self, kind: Kind[str], state_id: str, slot: Slot, encoded: int) -> None:
        self.values += 1
        key = (kind.name, state_id)
        size = ENTRY_BYTES + len(kind.name) + len(state_id) + encoded
        self.model.forget(key)
        lessened: set[str] = set()
        if size > MAX_BYTES:
            lessened.add(kind.name)
        else:
            self.model.rows.append(Row(key, slot, self.values, size, self.now_ns + int(kind.ttl_s * NS)))
            while sum(row.size for row in self.model.rows) > MAX_BYTES:
                lessened.add(self.model.rows.pop(0).key[0])
        assert self.entries.put(kind, state_id, slot, self.values, encoded) == lessened

    @rule(kind=kinds, state_id=ids)
    def get(self, kind: Kind[str], state_id: str) -> None:
        key = (kind.name, state_id)
        row = self.model.row(key)
        self.model.forget(key)
        if row is None or row.until_ns <= self.now_ns:
            assert self.entries.get(*key) is MISSING
        else:
            assert self.entries.get(*key) == row.value
            self.model.rows.append(row)

    @rule(kind=kinds, state_id=ids)
    def drop(self, kind: Kind[str], state_id: str) -> None:
        self.entries.drop(kind.name, state_id)
        self.model.forget((kind.name, state_id))

    @rule(kind=kinds, slot=slots)
    def drop_kind(self, kind: Kind[str], slot: Slot) -> None:
        self.entries.drop_kind(kind.name, slot)
        for row in self.model.rows:
            if row.key[0] == kind.name and row.slot == slot:
                row.until_ns = -1

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)

    @rule()
    def clear(self) -> None:
        self.entries.clear()
        self.model.rows.clear()

    @invariant()
    def bytes_are_counted_and_bounded(self) -> None:
        assert self.entries.bytes_held == sum(row.size for row in self.model.rows) <= MAX_BYTES
        assert len(self.entries) == len(self.model.rows)


TestCacheEntries = CacheEntries.TestCase
