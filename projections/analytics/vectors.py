"""Vectors: deterministic features of a document, and of a text that is searched for. Pure; nothing is downloaded.

A vector has two halves of equal weight: the document's figures, and its words. Words that documents are described with
have a place each; all others, names above all, are hashed to a few places with a sign (Weinberger et al., 2009). A text has
no figures, so it is compared by words alone; a state is compared by figures alone. Same input, same vector, on every
machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import sqrt
from typing import Final

FIGURES: Final = 16
KNOWN_PLACES: Final = 64
HASHED_PLACES: Final = 176
PLACES_PER_WORD: Final = 4
PART_WEIGHT: Final = 0.5
DIGITS: Final = 6
WORDS_KEPT: Final = 65_536
HALF: Final = sqrt(0.5)

KNOWN: Final = (
    *(
        "failing",
        "slow",
        "expensive",
        "uncached",
        "retried",
        "unpriced",
        "busy",
        "night",
        "weekend",
        "healthy",
    ),
    *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "unroutable", "calls"),
    *("breaker", "check", "caching", "connect", "tls", "timeout", "server", "overloaded", "stream", "cut"),
    *(
        "rate",
        "limited",
        "unauthorized",
        "billing",
        "bad",
        "request",
        "context",
        "length",
        "content",
        "filter",
    ),
    *(
        "cancelled",
        "other",
        "closed",
        "open",
        "half",
        "forced",
        "disabled",
        "consecutive",
        "elapsed",
        "probe",
    ),
    *("override", "unhealthy", "degraded", "unknown"),
)
"""Words with a place of their own. The order is part of what vectors mean: new ones go to the end."""

_PLACE_OF = {word: place for place, word in enumerate(KNOWN)}
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
    "opened": "open",
    "probes": "probe",
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


def words_of(text: str) -> dict[str, float]:
    """The words of a text with their weights, each as a whole and, lighter, in its parts: `gpt-4o`, `gpt` and `4o`."""
    found: dict[str, float] = {}
    for whole in _WORD.findall(text.lower()):
        parts = _PART.findall(whole)
        weighed = [(whole, 1.0), *((part, 1.0 if part == whole else PART_WEIGHT) for part in parts)]
        for word, weight in weighed:
            if word not in _SAYS_NOTHING:
                same = _SAME.get(word, word)
                found[same] = max(weight, found.get(same, 0.0))
    return found


def figures_half(figures: Sequence[float]) -> list[float]:
    """The first half of a vector, of figures in 0..1; all zeros of none."""
    if len(figures) > FIGURES:
        raise ValueError(f"a document has at most {FIGURES} figures, not {len(figures)}")
    return unit([2.0 * figure - 1.0 for figure in figures] + [0.0] * (FIGURES - len(figures)))


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two halves."""
    return _dot(one, other) / sqrt(_dot(one, one) * _dot(other, other))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def words_half(words: Iterable[str]) -> list[float]:
    """The second half of a vector."""
    places = [0.0] * (KNOWN_PLACES + HASHED_PLACES)
    for word, weight in words_of(" ".join(words)).items():
        known = _PLACE_OF.get(word)
        if known is not None:
            places[known] += weight
            continue
        for place, sign in _hashed(word):
            places[place] += sign * weight / sqrt(PLACES_PER_WORD)
    return unit(places)


@lru_cache(maxsize=WORDS_KEPT)
def _hashed(word: str) -> tuple[tuple[int, float], ...]:
    """Places and signs of a word; names come again in window after window."""
    digest = blake2b(word.encode(), digest_size=2 * PLACES_PER_WORD).digest()
    drawn = [int.from_bytes(digest[at : at + 2], "big") for at in range(0, len(digest), 2)]
    return tuple((KNOWN_PLACES + (one >> 1) % HASHED_PLACES, 1.0 if one & 1 else -1.0) for one in drawn)


def unit(values: Sequence[float]) -> list[float]:
    """Of the length of a half, rounded so that it is written the same way everywhere; zeros stay zeros."""
    length = sqrt(sum(value * value for value in values))
    if not length:
        return [0.0] * len(values)
    return [round(HALF * value / length, DIGITS) for value in values]
