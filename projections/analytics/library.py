"""The documents as those who ask read them: one client, every question bounded in time and answered from one set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from projections.analytics.chroma import Chroma, Found, Vector, Where
from projections.analytics.embedding import Vectors, vectors_of
from projections.analytics.errors import AnalyticsUnavailableError
from projections.analytics.places import client, full_name, look
from projections.analytics.sets import read_sets, set_of
from projections.analytics.settings import AnalyticsSettings


@dataclass(frozen=True, slots=True)
class Shelf:
    """Documents of one collection that answer a question; `complete` is False when there were more than may be read."""

    documents: Sequence[Found]
    complete: bool


@dataclass(frozen=True, slots=True)
class Shelves:
    """The set of collections that was live when a question came. `known` are the collections that were looked at before."""

    chroma: Chroma
    settings: AnalyticsSettings
    vectors: Vectors
    known: set[str]

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Found]:
        """The documents nearest to a vector."""
        return await self.chroma.nearest(await self._open(collection), vector, where, limit)

    async def vector_of(self, collection: str, document_id: str) -> Vector | None:
        """The vector of a document, None when it is not there."""
        return await self.chroma.vector(await self._open(collection), document_id)

    async def shelf(self, collection: str, where: Where, most: int | None = None) -> Shelf:
        """All documents that a filter lets through, up to a bound."""
        limit = self.settings.read_documents if most is None else most
        found = await self.chroma.matching(await self._open(collection), where, limit + 1)
        return Shelf(found[:limit], complete=len(found) <= limit)

    async def _open(self, collection: str) -> str:
        """Its name on the server, once it was seen to hold vectors that can be compared with ours."""
        name = full_name(self.settings, collection)
        if name not in self.known:
            await look(self.chroma, self.settings, collection, self.vectors)
            self.known.add(name)
        return name


class Library:
    """Reads the collections. Nothing is connected before the first question; without a server every one is refused."""

    def __init__(self, settings: AnalyticsSettings) -> None:
        self.settings = settings
        self._chroma: Chroma | None = None
        self._vectors: Vectors | None = None
        self._known: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the connections."""
        if self._chroma is not None:
            await self._chroma.close()

    @asynccontextmanager
    async def question(self) -> AsyncIterator[Shelves]:
        """One question, all of its parts together; AnalyticsUnavailableError when it takes too long."""
        try:
            async with asyncio.timeout(self.settings.read_timeout_s):
                yield await self._shelves()
        except TimeoutError:
            raise AnalyticsUnavailableError(
                f"Chroma took over {self.settings.read_timeout_s:g} s: ask for a shorter time, or raise "
                "INTERLOCK_ANALYTICS__READ_TIMEOUT_S"
            ) from None

    async def vectors(self) -> Vectors:
        """How vectors are made here; a model is loaded once."""
        if self._vectors is None:
            self._vectors = await asyncio.to_thread(vectors_of, self.settings.embedding_folder)
        return self._vectors

    async def _shelves(self) -> Shelves:
        if self._chroma is None:
            self._chroma = client(self.settings, self.settings.read_timeout_s)
        vectors = await self.vectors()
        live = set_of(self.settings, (await read_sets(self._chroma, self.settings)).live)
        return Shelves(self._chroma, live, vectors, self._known)
