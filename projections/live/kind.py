"""A kind of state, as a reader sees it: its name in the store, how its bytes are read, how long they may be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T_co]):
    """`name` is the first part of its keys, as in `breaker:openai/gpt-4o`."""

    name: str
    decode: Callable[[bytes], T_co]
    ttl_s: float

    @property
    def ttl_ns(self) -> int:
        """As the cache counts."""
        return round(self.ttl_s * 1_000_000_000)
