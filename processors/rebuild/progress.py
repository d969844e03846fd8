"""How far a rebuild has come, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from projections.live.slots import Slot


@dataclass(slots=True)
class Progress:
    """Records of the plan that are folded; `changed` is called at each step with (done, total)."""

    changed: Callable[[int, int], None]
    total: int = 0
    folded: int = 0
    """Folded by this run, also beyond the plan: what a rate is made of."""
    _starts: dict[tuple[Slot, str], int] = field(default_factory=dict)
    _at: dict[tuple[Slot, str], int] = field(default_factory=dict)

    def expect(self, slot: Slot, topic: str, start: int, end: int) -> None:
        """The plan: records [start, end) of a topic of a slot."""
        self._starts[slot, topic] = self._at[slot, topic] = start
        self.total += max(0, end - start)

    def at(self, slot: Slot, topic: str, offset: int) -> None:
        """A topic of a slot is folded up to there."""
        before = self._at.get((slot, topic), 0)
        self._at[slot, topic] = offset
        self.folded += max(0, offset - before)
        done = sum(at - self._starts.get(place, 0) for place, at in self._at.items())
        self.changed(min(done, self.total), self.total)
