"""How quickly the analytics are searched: `POST /v1/analytics/search` over 50,000 documents, beside Chroma's own query.

The documents are windows of usage as the sink makes them. Texts, examples and filters take turns; the raw limit is the same
vectors and filters asked of Chroma directly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from pathlib import Path
from random import Random
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from bench.lab import POLL_S, Lab, Program
from bench.report import Row, show
from bench.usage_records import DEPLOYMENTS
from embedded.chroma import ChromaServer
from embedded.ports import free_port
from projections.analytics.chroma import Chroma, Stored, Where
from projections.analytics.documents import USAGE
from projections.analytics.drafts import drafts
from projections.analytics.embedding import HashedWords
from projections.analytics.latency import bucket_of
from projections.analytics.places import client, full_name, prepare
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.windows import Aspect, Key, Window

TENANTS, USERS, HOURS = 50, 10, 20
DOCUMENTS = TENANTS * USERS * HOURS * len(DEPLOYMENTS)
START_US = 1_767_225_600_000_000
HOUR_US = 3_600_000_000
WRITTEN_AT_ONCE = 1_000
WARMING, ROUNDS = 20, 200
READY_WITHIN_S = 30.0
PARTITIONS = 1
TEXTS = (
    "slow failing openai",
    "expensive gpt-4o at night",
    "timeouts of anthropic",
    "uncached gemini monday",
)

Question = dict[str, Any]


async def run(lab: Lab) -> dict[str, Any]:
    """The figures, milliseconds; `search_p95_ms` is that of the API."""
    log, live = await lab.settings("search", PARTITIONS)
    url = f"http://127.0.0.1:{free_port()}"
    with TemporaryDirectory(prefix="interlock-bench-chroma-") as folder:
        async with ChromaServer(Path(folder)) as server:
            settings = AnalyticsSettings(chroma_url=server.address)
            chroma = client(settings, 60.0)
            try:
                written_per_s = await _write(chroma, settings)
                arguments = ("serve", "--port", url.rpartition(":")[2])
                async with lab.interlock(log, live, *arguments, analytics=settings) as api:
                    asked, raw = await _measure(api, url, chroma, full_name(settings, USAGE))
            finally:
                await chroma.close()
    (p50, p95), (raw_p50, raw_p95) = _percentiles(asked), _percentiles(raw)
    show(
        f"search over {DOCUMENTS:,} documents",
        [
            Row("Chroma query, p95", raw_p95, "ms", f"p50 {raw_p50:.1f} ms"),
            Row("POST /v1/analytics/search, p95", p95, "ms", f"p50 {p50:.1f} ms"),
            Row("documents written", written_per_s, "documents/s"),
        ],
    )
    return {
        "documents": DOCUMENTS,
        "written_per_s": round(written_per_s),
        "chroma_query_p50_ms": round(raw_p50, 1),
        "chroma_query_p95_ms": round(raw_p95, 1),
        "search_p50_ms": round(p50, 1),
        "search_p95_ms": round(p95, 1),
    }


async def _write(chroma: Chroma, settings: AnalyticsSettings) -> float:
    """Documents per second until all are there."""
    vectors = HashedWords()
    await prepare(chroma, settings, USAGE, vectors)
    started = time.perf_counter()
    batch: list[Stored] = []
    for window in _windows():
        draft = drafts(window)[-1]
        [vector] = vectors.of_drafts([draft])
        batch.append(Stored(draft.id, draft.text, draft.metadata, vector))
        if len(batch) == WRITTEN_AT_ONCE:
            await chroma.upsert(full_name(settings, USAGE), batch)
            batch.clear()
    assert await chroma.count(full_name(settings, USAGE)) == DOCUMENTS
    return DOCUMENTS / (time.perf_counter() - started)


def _windows() -> Iterator[Window]:
    random = Random(7)
    for hour, tenant, user in product(range(HOURS), range(TENANTS), range(USERS)):
        for provider, model, _ in DEPLOYMENTS:
            calls = random.randrange(1, 400)
            failed = random.randrange(calls) // 10 if random.random() < 0.2 else 0
            key = Key(
                Aspect.USAGE,
                START_US + hour * HOUR_US,
                3_600,
                f"tenant-{tenant:02}",
                f"user-{user}",
                provider,
                model,
            )
            yield Window(
                key,
                {
                    "calls": calls,
                    "outcome:SUCCESS": calls - failed,
                    **({"outcome:TIMEOUT": failed} if failed else {}),
                    f"latency:{bucket_of(random.randrange(300, 9_000))}": calls,
                    "latency_ms": calls * 900,
                    "input_tokens": calls * random.randrange(50, 4_000),
                    "output_tokens": calls * random.randrange(1, 800),
                    "cached_input_tokens": calls * random.randrange(50),
                    "cost_nano_usd": calls * random.randrange(20_000_000),
                },
                applied=1,
            )


def _questions(example: str) -> list[Question]:
    """One of each way to ask."""
    noon = "2026-01-01T12:00:00Z"
    failing = [{"field": "error_rate", "comparison": "gte", "value": 0.05}]
    return [
        {"text": TEXTS[0]},
        {"text": TEXTS[1], "tenant": "tenant-07"},
        {"text": TEXTS[2], "provider": "anthropic", "conditions": failing},
        {"text": TEXTS[3], "from": noon},
        {"like": example},
        {"like": example, "tenant": "tenant-21"},
    ]


def _raw(example_vector: list[float]) -> list[tuple[list[float], Where]]:
    """The same as Chroma is asked."""
    texts = [HashedWords().of_text(text) for text in TEXTS]
    failing = {"$and": [{"provider": {"$eq": "anthropic"}}, {"error_rate": {"$gte": 0.05}}]}
    return [
        (texts[0], {}),
        (texts[1], {"tenant": {"$eq": "tenant-07"}}),
        (texts[2], failing),
        (texts[3], {"window_us": {"$gte": START_US + 12 * HOUR_US}}),
        (example_vector, {}),
        (example_vector, {"tenant": {"$eq": "tenant-21"}}),
    ]


async def _measure(
    api: Program, url: str, chroma: Chroma, collection: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of each search through the API and of each query without it, by turns."""
    [first, *_] = await chroma.matching(collection, {}, 1)
    vector = list(await chroma.vector(collection, first.id) or ())
    questions, raw = _questions(first.id), _raw(vector)
    asked_ms, raw_ms = [], []
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        await _ready(api, http)

        async def ask(question: Question) -> None:
            answer = await http.post("/v1/analytics/search", json=question)
            assert len(answer.json()["documents"]) == 10, answer.text

        for number in range(WARMING + ROUNDS):
            turn = number % len(questions)
            took = await _timed(lambda turn=turn: ask(questions[turn]))  # type: ignore[misc]
            took_raw = await _timed(lambda turn=turn: chroma.nearest(collection, *raw[turn], 10))  # type: ignore[misc]
            if number >= WARMING:
                asked_ms.append(took)
                raw_ms.append(took_raw)
    return asked_ms, raw_ms


async def _timed(action: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await action()
    return 1_000 * (time.perf_counter() - started)


def _percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p95."""
    cuts = quantiles(values, n=20)
    return cuts[9], cuts[18]


async def _ready(api: Program, http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            api.check()
            try:
                if (await http.get("/health/liveness")).is_success:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(POLL_S)
