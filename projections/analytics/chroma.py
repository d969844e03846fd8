"""Chroma over HTTP, version 2 of its API: just the calls that are needed, each bounded in time.

Whatever goes wrong is a AnalyticsUnavailableError. A write that failed may still have happened: writes here are absolute, so
that they may be repeated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson

from projections.analytics.chunks import chunks
from projections.analytics.errors import AnalyticsUnavailableError

DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
NAMED_AT_ONCE = 500
READ_AT_ONCE = 5_000

Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar]
Where = Mapping[str, Any]
"""A filter of Chroma, for example `{"tenant": {"$eq": "acme"}}`; empty: everything."""

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is kept. Every document of a collection has the same metadata keys: an upsert merges them."""

    id: str
    text: str
    metadata: Metadata
    vector: Vector


@dataclass(frozen=True, slots=True)
class Found:
    """A document that was found; `distance` is 1 - cosine, 0 where nothing was compared."""

    id: str
    text: str
    metadata: Metadata
    distance: float = 0.0


class Chroma:
    """One server. A collection is given by its full name; its id is looked up once."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.url + DATABASE, timeout=timeout_s)
        self._ids: dict[str, str] = {}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def ensure(self, collection: str, about: Metadata) -> Metadata:
        """What the collection says about itself; it is made, and then says `about`, when it is not there."""
        body = {
            "name": collection,
            "get_or_create": True,
            "metadata": about,
            "configuration": {"hnsw": {"space": "cosine", "ef_search": 100}},
        }
        answer = await self._ask("POST", "/collections", body)
        self._ids[collection] = answer["id"]
        return answer["metadata"] or {}

    async def about(self, collection: str) -> Metadata | None:
        """What a collection says about itself, None when there is none."""
        try:
            answer = await self._ask("GET", f"/collections/{collection}")
        except _NoSuchCollectionError:
            return None
        self._ids[collection] = answer["id"]
        return answer["metadata"] or {}

    async def create(self, collection: str, about: Metadata) -> bool:
        """Make a collection that says that about itself; False, and nothing is done, when one is there."""
        try:
            answer = await self._ask("POST", "/collections", {"name": collection, "metadata": about})
        except _CollectionThereError:
            return False
        self._ids[collection] = answer["id"]
        return True

    async def tell(self, collection: str, about: Metadata) -> bool:
        """Have a collection that was made or looked at say that from now on, at once; False when it is gone by now."""
        with suppress(_NoSuchCollectionError):
            await self._ask("PUT", f"/collections/{self._ids[collection]}", {"new_metadata": about})
            return True
        return False

    async def take_away(self, collection: str) -> None:
        """Remove the collection that was made or looked at, and none that has taken its name since."""
        aside = f"{collection}_{uuid4().hex}"
        with suppress(_NoSuchCollectionError):
            await self._ask("PUT", f"/collections/{self._ids.pop(collection)}", {"new_name": aside})
            await self.drop(aside)

    async def upsert(self, collection: str, documents: Sequence[Stored]) -> None:
        """Write documents whole, in their order, some hundreds at once."""
        for chunk in chunks(documents, NAMED_AT_ONCE):
            body = {
                "ids": [one.id for one in chunk],
                "embeddings": [one.vector for one in chunk],
                "documents": [one.text for one in chunk],
                "metadatas": [one.metadata for one in chunk],
            }
            await self._on(collection, "upsert", body)

    async def by_id(self, collection: str, ids: Sequence[str]) -> dict[str, Found]:
        """Those of the documents that are there."""
        found: dict[str, Found] = {}
        for chunk in chunks(ids, NAMED_AT_ONCE):
            body = {"ids": chunk, "include": ["metadatas", "documents"]}
            found |= {one.id: one for one in _documents(await self._on(collection, "get", body))}
        return found

    async def vector(self, collection: str, document_id: str) -> Vector | None:
        """The vector of a document, None when it is not there."""
        answer = await self._on(collection, "get", {"ids": [document_id], "include": ["embeddings"]})
        vectors: list[Vector] = answer["embeddings"] or []
        return vectors[0] if vectors else None

    async def whole(self, collection: str, ids: Sequence[str]) -> list[Stored]:
        """Those of the documents that are there, with their vectors."""
        found: list[Stored] = []
        for chunk in chunks(ids, NAMED_AT_ONCE):
            found += await self._whole(collection, {"ids": chunk})
        return found

    async def every(self, collection: str) -> AsyncGenerator[list[Stored], None]:
        """All documents with their vectors, some hundreds at once. What is deleted meanwhile may hide others."""
        offset = 0
        while page := await self._whole(collection, {"limit": NAMED_AT_ONCE, "offset": offset}):
            yield page
            offset += len(page)

    async def _whole(self, collection: str, which: Mapping[str, Any]) -> list[Stored]:
        body = {**which, "include": ["metadatas", "documents", "embeddings"]}
        answer = await self._on(collection, "get", body)
        rows = zip(answer["ids"], answer["documents"], answer["metadatas"], answer["embeddings"], strict=True)
        return [Stored(key, text or "", metadata or {}, vector or ()) for key, text, metadata, vector in rows]

    async def matching(self, collection: str, where: Where, limit: int) -> list[Found]:
        """Documents that a filter lets through, without their texts; at most `limit`, in no order that is promised."""
        found: list[Found] = []
        while len(found) < limit:
            wanted = min(READ_AT_ONCE, limit - len(found))
            body = {"where": where or None, "limit": wanted, "offset": len(found), "include": ["metadatas"]}
            page = _documents(await self._on(collection, "get", body))
            found += page
            if len(page) < wanted:
                break
        return found

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Found]:
        """The documents nearest to a vector, nearest first."""
        body = {
            "query_embeddings": [vector],
            "n_results": limit,
            "where": where or None,
            "include": ["metadatas", "documents", "distances"],
        }
        answer = await self._on(collection, "query", body)
        rows = zip(
            answer["ids"][0],
            answer["documents"][0],
            answer["metadatas"][0],
            answer["distances"][0],
            strict=True,
        )
        return [Found(key, text or "", metadata or {}, distance) for key, text, metadata, distance in rows]

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove documents."""
        for chunk in chunks(ids, NAMED_AT_ONCE):
            await self._on(collection, "delete", {"ids": chunk})

    async def drop(self, collection: str) -> None:
        """Remove a collection with all that it holds; one that is not there is removed."""
        self._ids.pop(collection, None)
        with suppress(_NoSuchCollectionError):
            await self._ask("DELETE", f"/collections/{collection}")

    async def count(self, collection: str) -> int:
        """How many documents there are."""
        found: int = await self._on(collection, "count", None)
        return found

    async def _on(self, collection: str, call: str, body: Any) -> Any:
        """A call on a collection, by its id; a collection made anew since has another id, and is looked up again."""
        known = self._ids.get(collection)
        if known is not None:
            try:
                return await self._call(known, call, body)
            except _NoSuchCollectionError:
                del self._ids[collection]
        if await self.about(collection) is None:
            raise AnalyticsUnavailableError(
                f"Chroma at {self.url} has no collection {collection}: `interlock sink analytics` makes it"
            )
        return await self._call(self._ids[collection], call, body)

    async def _call(self, collection_id: str, call: str, body: Any) -> Any:
        method = "GET" if body is None else "POST"
        return await self._ask(method, f"/collections/{collection_id}/{call}", body)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else orjson.dumps(body)
        try:
            answer = await self._http.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            raise AnalyticsUnavailableError(f"Chroma at {self.url} does not answer: {error!r}") from error
        if answer.status_code == 404:
            raise _NoSuchCollectionError(f"Chroma at {self.url} has nothing at {path}")
        if answer.status_code == 409:
            raise _CollectionThereError(f"Chroma at {self.url} has that already at {path}")
        if not answer.is_success:
            raise AnalyticsUnavailableError(
                f"Chroma at {self.url} refused {path.rpartition('/')[2]} ({answer.status_code}): {answer.text[:300]}"
            )
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            raise AnalyticsUnavailableError(
                f"what answers at {self.url} is no Chroma: {answer.text[:100]!r}"
            ) from None


class _NoSuchCollectionError(AnalyticsUnavailableError):
    pass


class _CollectionThereError(AnalyticsUnavailableError):
    pass


def _documents(answer: Any) -> list[Found]:
    texts = answer["documents"] or [""] * len(answer["ids"])
    rows = zip(answer["ids"], texts, answer["metadatas"], strict=True)
    return [Found(key, text or "", metadata or {}) for key, text, metadata in rows]
