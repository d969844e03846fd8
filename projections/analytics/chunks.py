"""Long sequences in pieces, for servers that take so much at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, `size` of them at once, the last piece shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
