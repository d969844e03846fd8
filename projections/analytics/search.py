"""Search: documents like a text or like another document, among those that filters let through.

Chroma looks up what passes a filter before it compares vectors, which takes the longer the more passes. So it is only
asked for the tenant and the user, who have few documents; what else is wanted is checked here, on the nearest ones. When
too few of these pass, few documents do, and Chroma is asked with the whole filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projections.analytics.chroma import Found, Vector
from projections.analytics.filters import Comparison, Condition, all_of, checked, equal, started
from projections.analytics.library import Library, Shelves

NEAREST = 100
PER_WANTED = 5
SELECTIVE = frozenset({"tenant", "user"})


class NoSuchDocumentError(LookupError):
    """The example is not there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for: like a text, or like the document of that id; times bound the starts of windows."""

    collection: str
    text: str | None = None
    like: str | None = None
    tenant: str | None = None
    user: str | None = None
    provider: str | None = None
    model: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    conditions: Sequence[Condition] = ()
    limit: int = 10

    def filter(self) -> list[Condition]:
        """All that has to hold; BadConditionError for a condition that cannot be meant."""
        names = ("tenant", "user", "provider", "model")
        return [
            *(condition for name in names for condition in equal(name, getattr(self, name))),
            *started(self.from_us, self.to_us),
            *checked(self.collection, self.conditions),
        ]


async def search(library: Library, wanted: Wanted) -> list[Found]:
    """The nearest documents, nearest first; an example is not among its own."""
    conditions = wanted.filter()
    async with library.question() as shelves:
        vector = await _vector(shelves, wanted)
        found = await _nearest(shelves, wanted, vector, conditions)
    return [one for one in found if one.id != wanted.like][: wanted.limit]


async def _nearest(
    shelves: Shelves, wanted: Wanted, vector: Vector, conditions: Sequence[Condition]
) -> list[Found]:
    limit = wanted.limit + (wanted.like is not None)
    few = [one for one in conditions if one.field in SELECTIVE and one.comparison is Comparison.EQ]
    rest = [one for one in conditions if one not in few]
    if rest:
        near = max(NEAREST, PER_WANTED * limit)
        found = await shelves.nearest(wanted.collection, vector, all_of(few), near)
        passing = [one for one in found if all(each.holds(one.metadata) for each in rest)]
        if len(passing) >= limit or len(found) < near:
            return passing[:limit]
    return await shelves.nearest(wanted.collection, vector, all_of(conditions), limit)


async def _vector(shelves: Shelves, wanted: Wanted) -> Vector:
    if wanted.like is not None:
        found = await shelves.vector_of(wanted.collection, wanted.like)
        if found is None:
            raise NoSuchDocumentError(f"{wanted.collection} has no document {wanted.like}")
        return found
    return shelves.vectors.of_text(wanted.text or "")
