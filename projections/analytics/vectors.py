"""Vectors: deterministic features of a document, and of a text that is searched for. Pure; nothing is downloaded.

A vector has two halves of equal weight: the document's figures, and its words, each hashed to a few places with a sign
(Weinberger et al., 2009). A text has no figures, so it is compared by words alone; a state is compared by figures alone.
Same input, same vector, on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import sqrt
from typing import Final

FIGURES: Final = 16
WORD_PLACES: Final = 112
PLACES_PER_WORD: Final = 4
DIGITS: Final = 6
HALF: Final = sqrt(0.5)

_WORD = re.compile(r"[\w]+(?:[-._@/][\w]+)*")
_PART = re.compile(r"[^\W_]+")
_SAME = {
    "errors": "failing",
    "error": "failing",
    "failed": "failing",
    "failures": "failing",
    "failure": "failing",
    "broken": "failing",
    "latency": "slow",
    "costly": "expensive",
    "cost": "expensive",
    "retries": "retried",
    "retry": "retried",
    "timeouts": "timeout",
    "breakers": "breaker",
    "checks": "check",
}
_SAYS_NOTHING = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "of",
        "on",
        "or",
        "the",
        "to",
        "was",
        "were",
        "with",
    ]
)


def words_of(text: str) -> list[str]:
    """The words of a text, each as a whole and in its parts: `gpt-4o` is also `gpt` and `4o`."""
    found: dict[str, None] = {}
    for whole in _WORD.findall(text.lower()):
        for word in (whole, *_PART.findall(whole)):
            if word not in _SAYS_NOTHING:
                found[_SAME.get(word, word)] = None
    return list(found)


def figures_half(figures: Sequence[float]) -> list[float]:
    """The first half of a vector; all zeros of no figures."""
    if len(figures) > FIGURES:
        raise ValueError(f"a document has at most {FIGURES} figures, not {len(figures)}")
    return unit([2.0 * figure - 1.0 for figure in figures] + [0.0] * (FIGURES - len(figures)))


def words_half(words: Iterable[str]) -> list[float]:
    """The second half of a vector."""
    places = [0.0] * WORD_PLACES
    for word in words_of(" ".join(words)):
        digest = blake2b(word.encode(), digest_size=2 * PLACES_PER_WORD).digest()
        for index in range(PLACES_PER_WORD):
            drawn = int.from_bytes(digest[2 * index : 2 * index + 2], "big")
            places[(drawn >> 1) % WORD_PLACES] += 1.0 if drawn & 1 else -1.0
    return unit(places)


def unit(values: Sequence[float]) -> list[float]:
    """Of the length of a half, rounded so that it is written the same way everywhere; zeros stay zeros."""
    length = sqrt(sum(value * value for value in values))
    if not length:
        return [0.0] * len(values)
    return [round(HALF * value / length, DIGITS) for value in values]
