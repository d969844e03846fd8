"""What the live one and the new one are asked before they change places, when equality is not what is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

S = TypeVar("S")

Trial: TypeAlias = Callable[[S, S], Awaitable[None]]
"""Is called with the settings of the live one and of the new one, while both are at one position vector and nobody writes to
the live one. What it raises leaves the live one live; the rebuild goes on with what is built when it is run again.
"""
