"""A document of the analytics beside the one that the log asks for: what is compared of the two. No I/O."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from projections.analytics.chroma import Metadata, Stored
from projections.analytics.documents import STATES, Draft
from projections.analytics.windows import Aspect, Key
from projections.live.canonical import encode

FLOAT_DIGITS = 12
"""Digits of a fraction that are compared: what a server has read from JSON may end otherwise."""
VECTOR_APART = 1e-5
"""How far a place of a vector may be off: Chroma keeps 32 bits."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One document: where its events lie, what it is called in a difference, what there is and what there has to be."""

    place: str
    name: str
    collection: str
    id: str
    held: Stored | None
    told: Draft | None

    def sides(self, vector: Sequence[float]) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """For a Comparison; `vector` is that of the document that there has to be, if any."""
        held = None if self.held is None else said(self.held.text, self.held.metadata)
        told = None if self.told is None else said(self.told.text, self.told.metadata)
        if self.held is not None and held is not None and told is not None:
            told["vector"] = "of its window"
            held["vector"] = _likeness(self.held.vector, vector)
        return self._named(held), self._named(told)

    def _named(self, document: Document | None) -> dict[str, bytes]:
        return {} if document is None else {self.name: encode(document)}


def compact(document: Stored) -> Stored:
    """The same in less memory: vectors in 32 bits, as Chroma keeps them."""
    return replace(document, vector=array("f", document.vector))


def said(text: str, metadata: Metadata) -> Document:
    """What a document says, its sums by name."""
    return {"text": text} | {name: _plain(name, value) for name, value in metadata.items()}


def applied_of(metadata: Metadata) -> int:
    """Up to which offset the document says it goes; 0 when that cannot be read."""
    applied = metadata.get("applied")
    return applied if type(applied) is int else 0


def name_of(collection: str, key: Key) -> str:
    """What a document is called: `usage_patterns:2026-11-21T14:00Z|acme|ann|openai|gpt-4o`."""
    at = datetime.fromtimestamp(key.start_us // 1_000_000, UTC)
    names = [str(key.aspect)] if collection == STATES else []
    names += [name for name in (key.tenant, key.user, key.provider, key.model) if name]
    return f"{collection}:{at:%Y-%m-%dT%H:%MZ}|{'|'.join(names)}"


def key_of(metadata: Metadata) -> Key | None:
    """The window that a document says it is of; None when that cannot be read."""
    try:
        aspect = Aspect(str(metadata["aspect"]))
        names = (str(metadata[name]) for name in ("tenant", "user", "provider", "model"))
        key = Key(aspect, int(metadata["window_us"]), int(metadata["window_s"]), *names)
    except (KeyError, ValueError):
        return None
    return key


def _plain(name: str, value: object) -> object:
    if name == "sums":
        try:
            return json.loads(str(value))
        except json.JSONDecodeError:
            return value
    return float(f"{value:.{FLOAT_DIGITS}g}") if type(value) is float else value


def _likeness(held: Sequence[float], told: Sequence[float]) -> str:
    if len(held) != len(told):
        return f"of {len(held)} places instead of {len(told)}"
    apart = sum(abs(one - other) > VECTOR_APART for one, other in zip(held, told, strict=True))
    return f"of another, in {apart} of {len(told)} places" if apart else "of its window"
