"""Fences: how far the owners of source slots have come in one partition of outcomes. Key `fences:outcomes`.

An owner that takes a slot over appends its epoch to each partition that it may derive to, before it looks for what earlier
owners left there. What those append afterwards has a lower epoch and counts nothing: the new owner has not seen it, and
derives it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from projections.live.canonical import encode


@dataclass(frozen=True, slots=True)
class Fences:
    """The greatest epoch met by source partition ("usage.0")."""

    epochs: Mapping[str, int] = field(default_factory=dict)

    def passes(self, source: str, epoch: int) -> bool:
        """Whether a record of that source and epoch counts. One without an epoch (0) does, whatever was met."""
        return epoch == 0 or epoch >= self.epochs.get(source, 0)

    def plus(self, source: str, epoch: int) -> Fences:
        """After a record of that source and epoch."""
        if epoch <= self.epochs.get(source, 0):
            return self
        return Fences({**self.epochs, source: epoch})

    def to_json(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        return encode({"epochs": dict(self.epochs)})

    @classmethod
    def from_json(cls, data: bytes) -> Fences:
        """The inverse of to_json."""
        return cls(orjson.loads(data)["epochs"])
