"""Seeded chance: the same seed and the same thing give the same draw, in whichever process it is drawn."""

from __future__ import annotations

from hashlib import blake2b
from random import Random


def chance(seed: int, *thing: str | int) -> Random:
    """A generator for one thing of one run, independent of those of all other things."""
    name = "\x1f".join(str(part) for part in (seed, *thing))
    return Random(int.from_bytes(blake2b(name.encode(), digest_size=8).digest()))
